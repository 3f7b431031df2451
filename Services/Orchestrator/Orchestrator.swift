import ServiceRuntime

@main
enum Orchestrator {
    static func main() async {}
}
