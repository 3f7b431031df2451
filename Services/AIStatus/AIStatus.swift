import ServiceRuntime

@main
enum AIStatus {
    static func main() async {}
}
