import ArgumentParser
import DemoKit

/// Hidden: the demo's origin, a small site over plain HTTP and, for relayed sites, over its own TLS.
struct DemoOriginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-origin", abstract: "Serve the demo's small site.", shouldDisplay: false)

    @Option(
        name: .customLong("site"), parsing: .singleValue, help: "A site to serve over TLS, from SITE.pem and SITE.key.")
    var sites: [String] = []

    func run() async throws {
        try await DemoOrigin(sites: self.sites).run()
    }
}
