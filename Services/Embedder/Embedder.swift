import ServiceRuntime

@main
enum Embedder {
    static func main() async {}
}
