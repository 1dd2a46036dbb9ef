import ArgumentParser
import Diagnosis
import Foundation
import NIOCore
import NativeClient
import NativeHandshake
import Synchronization
import TLSWire
import Telemetry

/// `latchstring client`: one request, and every step on the way to its response.
struct ClientCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Fetch a URL and show each step of the TLS handshake, the certificate chain and the response.",
        discussion: """
            The steps go to standard error, the response's body to standard output. Certificates are always verified; to \
            trust a private authority, name its file with --roots.

            Exit status: 0 handshake, verification and response good; 1 the response's status is 400 or more; 2 wrong usage; 3 no \
            connection; 4 TLS handshake or verification failed; 5 no response, or one that broke off.

            Example: latchstring client https://www.example.test/ --connect 127.0.0.1:8443 --roots certs/test-site-authority.pem
            """)

    @Argument(help: ArgumentHelp("What to fetch: https://name[:port][/path].", valueName: "url"))
    var url: String

    @Option(
        help: ArgumentHelp("Where to connect; by default the URL's own host and port.", valueName: "host:port"))
    var connect: String?

    @Option(help: ArgumentHelp("PEM file with the authorities to trust instead of the system's.", valueName: "file"))
    var roots: String?

    @Option(help: ArgumentHelp("Offer this TLS version only: 1.2 or 1.3.", valueName: "version"))
    var tls: String?

    @Option(
        help: ArgumentHelp(
            "Key exchange groups to offer, best first: X25519MLKEM768, X25519, P-256, P-384, P-521.",
            valueName: "group,group"))
    var groups: String?

    @Option(
        help: ArgumentHelp(
            "ALPN protocols to offer, or an empty text for none. Only http/1.1 fetches a response.",
            valueName: "protocol,protocol"))
    var alpn = "http/1.1"

    @Option(help: ArgumentHelp("Write the response's body to this file.", valueName: "file"))
    var output: String?

    @Option(
        help: ArgumentHelp(
            "Use the native handshake instead of TLS: origin-derived or client-derived.", valueName: "variant"))
    var native: String?

    @Option(
        help: ArgumentHelp(
            "With --native: an https address that, with the domain behind it, answers with the site's key hashes; they must have the certificate's.",
            valueName: "url"))
    var keyDirectory: String?

    @Option(
        help: ArgumentHelp(
            "With --key-directory: PEM file of the authorities to trust for it; default: the system's.",
            valueName: "file"))
    var keyDirectoryRoots: String?

    @Flag(help: "With --key-directory: go on where it cannot be asked.")
    var keyDirectoryOptional = false

    @Flag(help: "Ask for the response's head only.")
    var head = false

    @Option(
        help: ArgumentHelp(
            "How long connecting may take, and how long nothing may happen after that (1 to 3600).",
            valueName: "seconds"))
    var timeout: Int64 = 30

    func run() async throws {
        if let native { return try await fetchNatively(native) }
        if keyDirectory != nil || keyDirectoryOptional || keyDirectoryRoots != nil {
            throw ValidationError("--key-directory is for --native")
        }
        let options: DiagnosingClient.Options = try clientOptions()
        let body = BodySink(try bodyHandle())
        let printer = ClientPrinter(colours: StandardError.wantsColours)
        printer.start(options.target)
        let status: UInt
        do throws(ClientFailure) {
            status = try await DiagnosingClient(options: options).run { event in
                if case .responseBody(let bytes) = event.event { body.write(bytes) }
                printer.print(event)
            }
        } catch {
            printer.failure(error.description)
            throw ExitCode(Self.exitCode(error.phase))
        }
        if let error: String = body.error {
            printer.failure("the body can't be written: \(error)")
            throw ExitCode(5)
        }
        if status >= 400 {
            printer.failure("the response's status is \(status)")
            throw ExitCode(1)
        }
    }

    private func fetchNatively(_ word: String) async throws {
        guard let variant = NativeVariant(name: word) else {
            throw ValidationError("'\(word)' is not a variant: origin-derived or client-derived")
        }
        guard tls == nil, groups == nil else {
            throw ValidationError("--tls and --groups have no meaning with --native")
        }
        let common: DiagnosingClient.Options = try clientOptions()
        let target: ClientTarget = common.target
        var options = NativeOptions(
            serverName: target.serverName, host: target.connectHost, port: target.connectPort, variant: variant)
        options.roots = common.roots
        options.timeout = common.timeout
        options.idleTimeout = common.timeout
        if let keyDirectory {
            // What vouches for the site should not be what vouches for its certificate.
            var directory = KeyDirectory(
                url: keyDirectory, roots: try keyDirectoryRoots.map { try Self.roots(path: $0) } ?? .system)
            directory.isRequired = !keyDirectoryOptional
            options.keyDirectory = directory
        }
        let body = BodySink(try bodyHandle())
        let printer = ClientPrinter(colours: StandardError.wantsColours)
        printer.start(target)
        let status: Int
        do throws(ClientFailure) {
            let fetch = NativeFetch(options: options, target: target, headOnly: head)
            status = try await fetch.run(
                report: { NativePrinter(printer: printer).print($0) },
                head: { lines in
                    for line in lines { printer.line(nil, "<- " + ClientPrinter.printable(line)) }
                }, body: { body.write($0) })
        } catch {
            printer.failure(error.description)
            throw ExitCode(Self.exitCode(error.phase))
        }
        if let error: String = body.error {
            printer.failure("the body can't be written: \(error)")
            throw ExitCode(5)
        }
        if status >= 400 {
            printer.failure("the response's status is \(status)")
            throw ExitCode(1)
        }
    }

    private static func exitCode(_ phase: ClientFailure.Phase) -> Int32 {
        switch phase {
        case .connect: return 3
        case .handshake: return 4
        case .response: return 5
        }
    }

    private func clientOptions() throws -> DiagnosingClient.Options {
        let target: ClientTarget
        do {
            target = try ClientTarget(url: url, connect: connect)
        } catch {
            throw ValidationError("\(error)")
        }
        var options = DiagnosingClient.Options(target: target)
        if let roots { options.roots = try Self.roots(path: roots) }
        switch tls {
        case nil: break
        case "1.2": options.versions = TLSVersion.tls12...TLSVersion.tls12
        case "1.3": options.versions = TLSVersion.tls13...TLSVersion.tls13
        case let version?: throw ValidationError("'\(version)' is not a TLS version that can be offered: 1.2 or 1.3")
        }
        options.groups = try groups.map { try Self.list($0).map(Self.group) }
        options.applicationProtocols = Self.list(alpn)
        guard options.applicationProtocols.allSatisfy({ (1...255).contains($0.utf8.count) }) else {
            throw ValidationError("an ALPN protocol's name has 1 to 255 bytes")
        }
        guard (1...3600).contains(timeout) else { throw ValidationError("--timeout must be 1 to 3600 seconds") }
        options.timeout = .seconds(timeout)
        options.headOnly = head
        return options
    }

    private static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }

    private static func roots(path: String) throws -> ClientRoots {
        let roots: ClientRoots
        do {
            roots = try ClientRoots(pem: try String(contentsOfFile: path, encoding: .utf8))
        } catch {
            throw ValidationError("cannot read certificates from \(path): \(error)")
        }
        if case .certificates(let certificates) = roots, certificates.isEmpty {
            throw ValidationError("there is no certificate in \(path)")
        }
        return roots
    }

    private static func group(_ name: String) throws -> UInt16 {
        let known: [UInt16] = [
            TLSGroup.x25519MLKEM768, TLSGroup.x25519, TLSGroup.secp256r1, TLSGroup.secp384r1, TLSGroup.secp521r1,
        ]
        guard let group: UInt16 = known.first(where: { TLSNames.group($0).lowercased() == name.lowercased() }) else {
            let names: String = known.map { TLSNames.group($0) }.joined(separator: ", ")
            throw ValidationError("'\(name)' is not a group that can be offered: \(names)")
        }
        return group
    }

    private func bodyHandle() throws -> FileHandle {
        guard let output else { return .standardOutput }
        guard FileManager.default.createFile(atPath: output, contents: nil),
            let handle = FileHandle(forWritingAtPath: output)
        else { throw ValidationError("cannot write to \(output)") }
        return handle
    }
}

/// Where the body goes. Remembers the first error and drops the rest.
private final class BodySink: Sendable {
    private let handle: FileHandle
    private let failure = Mutex<String?>(nil)

    init(_ handle: FileHandle) {
        self.handle = handle
    }

    var error: String? { failure.withLock { $0 } }

    func write(_ bytes: ByteBuffer) {
        failure.withLock { failure in
            guard failure == nil else { return }
            do {
                try handle.write(contentsOf: Data(bytes.readableBytesView))
            } catch {
                failure = error.localizedDescription
            }
        }
    }
}
