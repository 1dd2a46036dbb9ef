import Hexadecimal
import NIOCore
import Synchronization

/// An open connection of the demo's client, with the session's secrets as its TLS library tells them.
struct DemoSession: Sendable {
    let channel: any Channel
    /// As in `1.3`.
    let version: String
    let keyLog: DemoKeyLog

    func close() { channel.close(promise: nil) }

    /// What a key holder keeps of such a session and what it lends, as far as the client knows it.
    ///
    /// In TLS 1.2 only the master secret is known; what is lent are keys made of it.
    var secrets: [(label: String, secrets: SiteSecrets, isLent: Bool)] {
        let kept: [String] = [
            "CLIENT_RANDOM", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "EXPORTER_SECRET",
        ]
        let lent: [String] = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"]
        return [(kept, "kept", false), (lent, "lent", true)].compactMap { labels, word, isLent in
            let parts: [SiteSecrets.Part] = labels.compactMap { label in
                keyLog.secret(label).map { SiteSecrets.Part(name: Self.name(of: label), bytes: $0) }
            }
            guard !parts.isEmpty else { return nil }
            return ("handoff session, TLS \(version), \(word)", SiteSecrets(parts: parts), isLent)
        }
    }

    private static func name(of label: String) -> String {
        switch label {
        case "CLIENT_RANDOM": "master"
        case "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "client-handshake"
        case "SERVER_HANDSHAKE_TRAFFIC_SECRET": "server-handshake"
        case "EXPORTER_SECRET": "exporter"
        case "CLIENT_TRAFFIC_SECRET_0": "client-traffic"
        default: "server-traffic"
        }
    }
}

/// Gathers the lines of the TLS library's key log: label, client random, secret, in hexadecimal.
final class DemoKeyLog: Sendable {
    private let found = Mutex<[String: [UInt8]]>([:])

    func receive(_ lines: ByteBuffer) {
        for line in String(buffer: lines).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3, let bytes = Hex.bytes(words[2].utf8) else { continue }
            found.withLock { $0[String(words[0])] = bytes }
        }
    }

    func secret(_ label: String) -> [UInt8]? { found.withLock { $0[label] } }
}
