import ServiceRuntime

@main
enum DataHarvester {
    static func main() async {}
}
