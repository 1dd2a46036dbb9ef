import Admin
import Foundation
import Logging
import PeerLink
import Synchronization

/// When a party's own identity ends, as it is in force, and what is to be said of that.
final class IdentityTerm: Sendable {
    private let end = Mutex<Int64?>(nil)

    /// The files at this path are in force from now on.
    func read(_ certificate: String?) {
        let end = certificate.flatMap { PeerCredentials.notAfter(chainFile: $0) }
        self.end.withLock { $0 = end }
    }

    /// - Parameter time: seconds since 1970.
    func outlook(at time: Int64) -> IdentityOutlook { IdentityOutlook(end: self.end.withLock { $0 }, at: time) }

    var healthCheck: HealthCheck {
        HealthCheck(name: "identity") {
            self.outlook(at: Int64(Date().timeIntervalSince1970)).text.map { .degraded($0) } ?? .ok
        }
    }
}

/// How an identity stands. Pure.
enum IdentityOutlook: Equatable {
    /// There is none, or it does not end soon.
    case fine
    /// Within thirty days.
    case ends(days: Int64)
    case over

    static let warningDays: Int64 = 30

    /// Both are seconds since 1970.
    init(end: Int64?, at time: Int64) {
        guard let end else {
            self = .fine
            return
        }
        let days = (end - time) / 86_400
        self = end < time ? .over : days < Self.warningDays ? .ends(days: days) : .fine
    }

    /// What is said of it; nil: nothing.
    var text: String? {
        switch self {
        case .fine: nil
        case .ends(let days): "this party's identity ends in \(days) day\(days == 1 ? "" : "s")"
        case .over: "this party's identity has ended: there are no links with it"
        }
    }
}

/// When the log says so: at once, and then once a day. Pure.
struct IdentityWarnings {
    private var said: (outlook: IdentityOutlook, time: Int64)?

    /// - Parameter time: seconds since 1970.
    /// - Returns: whether it is to be said now.
    mutating func isDue(_ outlook: IdentityOutlook, at time: Int64) -> Bool {
        guard outlook != .fine else {
            self.said = nil
            return false
        }
        if let said = self.said, time < said.time + 86_400, said.outlook != .over, outlook != .over { return false }
        if let said = self.said, time < said.time + 86_400, said.outlook == outlook { return false }
        self.said = (outlook, time)
        return true
    }

    static func write(_ outlook: IdentityOutlook, to logger: Logger) {
        guard let text = outlook.text else { return }
        logger.log(
            level: outlook == .over ? .error : .warning, "the identity of this party ends",
            metadata: [
                "reason": "\(text)",
                "remedy":
                    "`latchstring certs --csr` asks for a new certificate for its key; the file is read by itself",
            ])
    }
}
