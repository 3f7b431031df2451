import CCurl
import Foundation

/// One request under way: curl's handle, and what has come back so far. Touched by the client's thread only.
final class Transfer {
    let id: UInt64
    let handle: UnsafeMutableRawPointer
    private let request: ClientRequest
    private let stream: ByteChannel?
    private let complete: @Sendable (Result<ClientResponse, HTTPClientError>) -> Void
    private var isHeadTold = false
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var resolveList: UnsafeMutablePointer<curl_slist>?
    private var headers: [(name: String, value: String)] = []
    private var headerBytes = 0
    private var body: [UInt8] = []
    private var tooLarge = false
    private static let maximumHeaderBytes = 256 << 10

    init(_ order: TransferThread.Order, handle: UnsafeMutableRawPointer) {
        id = order.id
        self.handle = handle
        request = order.request
        stream = order.body
        complete = order.complete
    }

    deinit {
        curl_slist_free_all(headerList)
        curl_slist_free_all(resolveList)
    }

    /// Invariant: `self` outlives the transfer (the client holds it until it is removed from the multi handle).
    func prepare() throws(HTTPClientError) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        curl_set_string(handle, CURLOPT_URL, request.url)
        curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https")
        curl_set_long(handle, CURLOPT_FOLLOWLOCATION, 0)
        curl_set_long(handle, CURLOPT_NOSIGNAL, 1)
        curl_set_long(handle, CURLOPT_TCP_KEEPALIVE, 1)
        if stream == nil {
            curl_set_long(handle, CURLOPT_TIMEOUT_MS, milliseconds(request.timeout))
        } else {
            curl_set_long(handle, CURLOPT_LOW_SPEED_LIMIT, 1)
            curl_set_long(handle, CURLOPT_LOW_SPEED_TIME, max(1, milliseconds(request.timeout) / 1000))
        }
        curl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request.connectTimeout))
        if stream == nil {
            curl_set_offset(handle, CURLOPT_MAXFILESIZE_LARGE, curl_off_t(request.maximumResponseBytes))
        }
        if !request.usesProxy { curl_set_string(handle, CURLOPT_NOPROXY, "*") }
        curl_set_pointer(handle, CURLOPT_WRITEDATA, context)
        curl_set_callback(handle, CURLOPT_WRITEFUNCTION) { data, size, count, context in
            Transfer.from(context).receive(UnsafeRawBufferPointer(start: data, count: size * count))
        }
        curl_set_pointer(handle, CURLOPT_HEADERDATA, context)
        curl_set_callback(handle, CURLOPT_HEADERFUNCTION) { data, size, count, context in
            Transfer.from(context).receiveHeader(UnsafeRawBufferPointer(start: data, count: size * count))
        }
        try prepareMethod()
        try prepareHeaders()
        try prepareAddress()
    }

    private func prepareMethod() throws(HTTPClientError) {
        guard !request.method.isEmpty, request.method.utf8.allSatisfy({ (65...90).contains($0) }) else {
            throw .invalidRequest("method \(request.method)")
        }
        if let upload = request.upload {
            prepareUpload(upload)
        } else if !request.body.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method) {
            curl_set_offset(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(request.body.count))
            _ = request.body.withUnsafeBytes { bytes in  // copied: curl reads it until the transfer ends
                curl_set_pointer(
                    handle, CURLOPT_COPYPOSTFIELDS,
                    UnsafeMutableRawPointer(mutating: bytes.baseAddress ?? UnsafeRawPointer(handle)))
            }
        }
        if request.method == "HEAD" { curl_set_long(handle, CURLOPT_NOBODY, 1) }
        curl_set_string(handle, CURLOPT_CUSTOMREQUEST, request.method)
    }

    private func prepareUpload(_ upload: ClientUpload) {
        curl_set_long(handle, CURLOPT_UPLOAD, 1)
        curl_set_offset(handle, CURLOPT_INFILESIZE_LARGE, curl_off_t(upload.length ?? -1))
        // What has been sent cannot be sent again, so no connection that may have ended meanwhile.
        curl_set_long(handle, CURLOPT_FRESH_CONNECT, 1)
        curl_set_pointer(handle, CURLOPT_READDATA, Unmanaged.passUnretained(self).toOpaque())
        curl_set_callback(handle, CURLOPT_READFUNCTION) { data, size, count, context in
            Transfer.from(context).give(UnsafeMutableRawBufferPointer(start: data, count: size * count))
        }
    }

    private func give(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let channel = request.upload?.channel else { return 0 }
        do throws(HTTPClientError) {
            return try channel.take(into: buffer) ?? Int(CURL_READFUNC_PAUSE)
        } catch {
            return Int(CURL_READFUNC_ABORT)
        }
    }

    private func prepareHeaders() throws(HTTPClientError) {
        var lines = ["Expect:"]
        if !request.headers.contains(where: { $0.0.lowercased() == "content-type" }) { lines.append("Content-Type:") }
        if let trace = request.trace { lines.append("traceparent: \(trace.traceparent)") }
        for (name, value) in request.headers {
            guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: ":") }),
                value.utf8.allSatisfy({ $0 != 13 && $0 != 10 && $0 != 0 })
            else { throw .invalidRequest("header \(name.prefix(64))") }
            lines.append(value.isEmpty ? "\(name);" : "\(name): \(value)")
        }
        for line in lines { headerList = curl_slist_append(headerList, line) }
        curl_set_pointer(handle, CURLOPT_HTTPHEADER, headerList)
    }

    private func prepareAddress() throws(HTTPClientError) {
        guard let address = request.address else { return }
        guard let parts = URLComponents(string: request.url), let host = parts.host else {
            throw .invalidURL(redacted(request.url))
        }
        let port = parts.port ?? (parts.scheme == "https" ? 443 : 80)
        let target = address.contains(":") ? "[\(address)]" : address
        resolveList = curl_slist_append(nil, "\(host):\(port):\(target)")
        curl_set_pointer(handle, CURLOPT_RESOLVE, resolveList)
    }

    func finish(_ code: CURLcode) {
        guard code == CURLE_OK else { return fail(error(of: code)) }
        request.upload?.channel.finish(throwing: .closed)
        if stream != nil { tellHead() }
        if let stream { return stream.finish() }
        complete(.success(ClientResponse(status: status, headers: headers, body: body)))
    }
    func fail(_ error: HTTPClientError) {
        request.upload?.channel.finish(throwing: .closed)
        if let stream, isHeadTold { return stream.finish(throwing: error) }
        complete(.failure(error))
    }

    private var status: Int {
        var status = 0
        curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
        return status
    }

    private func tellHead() {
        if isHeadTold { return }
        isHeadTold = true
        complete(.success(ClientResponse(status: status, headers: headers, body: [])))
    }

    private func error(of code: CURLcode) -> HTTPClientError {
        let url = redacted(request.url)
        switch code {
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: return .invalidURL(url)
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: return .nameNotResolved(url)
        case CURLE_COULDNT_CONNECT: return .connectionFailed(url)
        case CURLE_OPERATION_TIMEDOUT: return .timedOut(url)
        case CURLE_FILESIZE_EXCEEDED: return .responseTooLarge(limit: request.maximumResponseBytes)
        case CURLE_WRITE_ERROR where tooLarge: return .responseTooLarge(limit: request.maximumResponseBytes)
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR:
            return .tls("\(url): \(String(cString: curl_easy_strerror(code)))")
        default: return .transport("\(url): \(String(cString: curl_easy_strerror(code)))")
        }
    }

    private func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
        if let stream { return stream.offer(bytes) ? bytes.count : Int(CURL_WRITEFUNC_PAUSE) }
        guard body.count + bytes.count <= request.maximumResponseBytes else {
            tooLarge = true
            return 0
        }
        body.append(contentsOf: bytes)
        return bytes.count
    }

    private func receiveHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        headerBytes += bytes.count
        guard headerBytes <= Self.maximumHeaderBytes else {
            tooLarge = true
            return 0
        }
        if bytes.starts(with: "HTTP/".utf8) {  // after an interim answer (1xx) the next one begins
            headers = []
            return bytes.count
        }
        if stream != nil, bytes.count <= 2, status >= 200 { tellHead() }  // the empty line behind the last header
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return bytes.count }
        let value = String(decoding: bytes[(colon + 1)...], as: UTF8.self).trimmingCharacters(
            in: .whitespacesAndNewlines)
        headers.append((String(decoding: bytes[..<colon], as: UTF8.self), value))
        return bytes.count
    }

    private func milliseconds(_ duration: Duration) -> Int { max(1, Int(duration / .milliseconds(1))) }

    private static func from(_ context: UnsafeMutableRawPointer?) -> Transfer {
        guard let context else { preconditionFailure("curl called back without the context it was given") }
        return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    }
}
