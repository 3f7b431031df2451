import ServiceRuntime

@main
enum DataProcessor {
    static func main() async {}
}
