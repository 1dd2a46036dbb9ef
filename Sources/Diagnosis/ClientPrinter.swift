import FoundationEssentials
public import NIOCore
import NIOHTTP1
import NativeClient
import TLSWire
import Telemetry

/// Writes the client's events to standard error, one line each, with milliseconds since the start.
public struct ClientPrinter: Sendable {
    private let colours: Bool

    /// - Parameter colours: whether the outcomes are coloured.
    public init(colours: Bool) {
        self.colours = colours
    }

    public func start(_ target: ClientTarget) {
        line(nil, "\(target.serverName) at \(target.connectHost):\(target.connectPort)")
    }

    public func failure(_ text: String) {
        line(nil, styled("failed: \(text)", .red))
    }

    public func print(_ event: TimedClientEvent) {
        for (index, text) in describe(event.event).enumerated() {
            line(index == 0 ? event.time : nil, text)
        }
    }

    // MARK: - What each event says

    private func describe(_ event: ClientEvent) -> [String] {
        switch event {
        case .connected(let address): return ["connected to \(address)"]
        case .wire(let event): return describe(event)
        case .certificates(let chain):
            return ["<- certificate chain, \(chain.count) sent"] + chain.enumerated().flatMap(describe)
        case .verified(let path):
            let root: String = path.last.map { $0.subject } ?? "?"
            return [styled("chain verified", .green) + ", up to \(root)"]
        case .handshakeCompleted(let chosen):
            return [styled("handshake complete", .green) + ", ALPN \(chosen ?? "none")"]
        case .requestSent: return ["-> request"]
        case .responseHead(let head):
            let colour: Style = head.status.code < 400 ? .green : .red
            let status: String =
                "HTTP/\(head.version.major).\(head.version.minor) \(head.status.code) \(head.status.reasonPhrase)"
            return ["<- " + styled(status, colour)] + head.headers.map { "   \($0.name): \(Self.printable($0.value))" }
        case .responseBody: return []
        case .responseEnd(let bytes): return ["response complete, \(bytes) bytes"]
        }
    }

    private func describe(_ event: WireEvent) -> [String] {
        switch event {
        case .clientHello(let hello, let second):
            let versions: String = names(hello.supportedVersions, TLSNames.version)
            var lines: [String] = ["-> ClientHello" + (second ? " again" : "") + ": \(versions)"]
            lines.append("   groups \(names(hello.supportedGroups, TLSNames.group))")
            if !hello.keyShareGroups.isEmpty {
                lines.append("   key shares \(names(hello.keyShareGroups, TLSNames.group))")
            }
            let protocols: [String] = hello.applicationProtocols.map {
                Self.printable(String(decoding: $0, as: UTF8.self))
            }
            if !protocols.isEmpty { lines.append("   ALPN \(protocols.joined(separator: ", "))") }
            return lines
        case .helloRetryRequest(let hello):
            return [
                "<- HelloRetryRequest: wants a key share for \(hello.group.map(TLSNames.group) ?? "no other group")"
            ]
        case .serverHello(let hello):
            var text: String =
                "<- ServerHello: \(TLSNames.version(hello.version)), \(TLSNames.cipherSuite(hello.cipherSuite))"
            if let group: UInt16 = hello.group { text += ", \(TLSNames.group(group))" }
            return [styled(text, .bold)]
        case .serverKeyExchange(let group):
            return ["<- ServerKeyExchange" + (group.map { ": \(TLSNames.group($0))" } ?? "")]
        case .handshakeMessage(let peer, let type): return ["\(arrow(peer)) \(TLSNames.handshakeType(type))"]
        case .encrypted(let peer): return ["\(arrow(peer)) encrypted from here on"]
        case .alert(let peer, let code): return [styled("\(arrow(peer)) alert \(TLSNames.alert(code))", .red)]
        case .notTLS: return [styled("<- bytes that are not TLS; is this port a plain one?", .red)]
        }
    }

    private func describe(_ index: Int, _ certificate: CertificateSummary) -> [String] {
        let from: String = certificate.notBefore.formatted(.iso8601)
        let to: String = certificate.notAfter.formatted(.iso8601)
        var lines: [String] = [
            "   \(index)  \(Self.printable(certificate.subject)), \(certificate.keyType)",
            "      issued by \(Self.printable(certificate.issuer))",
            "      from \(from) to \(to)",
        ]
        if index == 0 {
            lines.append("      for \(certificate.alternativeNames.map(Self.printable).joined(separator: ", "))")
        }
        return lines
    }

    private func names(_ numbers: [UInt16], _ name: (UInt16) -> String) -> String {
        numbers.filter { !TLSNames.isGREASE($0) }.map(name).joined(separator: ", ")
    }

    private func arrow(_ peer: Peer) -> String { peer == .client ? "->" : "<-" }

    // MARK: - Lines

    private enum Style: String {
        case red = "31"
        case green = "32"
        case bold = "1"
    }

    private func styled(_ text: String, _ style: Style) -> String {
        colours ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }

    /// What a server sends must not steer the terminal.
    public static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }

    /// One line of its own.
    ///
    /// - Parameter time: since the start; nil leaves the column empty.
    public func line(_ time: TimeAmount?, _ text: String) {
        var column = ""
        if let time {
            let tenths: Int64 = (time.nanoseconds + 50_000) / 100_000
            column = "\(tenths / 10).\(tenths % 10) ms"
        }
        let padding = String(repeating: " ", count: max(0, 11 - column.count))
        StandardError.write("\(padding)\(column)  \(text)\n")
    }
}
