import ArgumentParser
import DemoKit
import Dispatch
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// `latchstring demo`: all parties on this machine, real requests, and proof of where the keys are.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract:
            "Show it all on this machine: an origin, its key holder and an edge, real requests, and where the keys are.",
        discussion: """
            Starts three processes on loopback addresses and free ports, in a temporary directory that is removed at the \
            end. Needs no configuration and no privileges.
            """)

    @Flag(help: "End after the proof, with exit status 0 only if everything held.")
    var once = false

    @Flag(help: "Show the processes' logs.")
    var verbose = false

    @Flag(
        help: "Show the steps of the native handshakes, numbered as in the published text, with real values shortened.")
    var explain = false

    @Flag(help: "Have the key holder's P-256 and RSA keys on a token of SoftHSM, which must be installed.")
    var hsm = false

    func run() async throws {
        let (once, verbose, explain, hsm) = (once, verbose, explain, hsm)
        let performance = Task { () -> Bool in
            try await DemoPerformance.run(once: once, verbose: verbose, explains: explain, hsm: hsm)
        }
        let interrupt = Interrupt { performance.cancel() }
        defer { interrupt.cancel() }
        do {
            guard try await performance.value else { throw ExitCode.failure }
        } catch  where performance.isCancelled {
            throw ExitCode(130)
        }
    }
}

/// Ctrl-C and SIGTERM end the demo in order.
private struct Interrupt {
    private let sources: [any DispatchSourceSignal]

    init(_ action: @escaping @Sendable () -> Void) {
        sources = [SIGINT, SIGTERM, SIGHUP].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler(handler: action)
            source.resume()
            return source
        }
    }

    func cancel() { sources.forEach { $0.cancel() } }
}
