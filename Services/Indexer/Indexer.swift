import ServiceRuntime

@main
enum Indexer {
    static func main() async {}
}
