import FleetBus
import Settings

/// What to do about a bus that can't be used.
struct BusAdvice {
    let fleet: FleetSettings

    /// Of a failure, in words that are not the address again.
    func text(_ failure: BusFailure) -> String {
        switch failure {
        case .unreachable(_, let reason), .broken(_, let reason): reason
        case .silent: "no answer in time"
        case .closed: "it closed the connection"
        case .refused(_, let reason): "it refuses: \(reason)"
        case .notPrimary(_, let role): "it is a \(role), and takes no writes"
        case .wrongMode(_, let reason): "it \(reason)"
        case .full, .absent, .stopped: failure.description
        }
    }

    static func address(_ failure: BusFailure) -> BusAddress? {
        switch failure {
        case .unreachable(let address, _), .silent(let address), .closed(let address), .refused(let address, _),
            .notPrimary(let address, _), .wrongMode(let address, _), .broken(let address, _):
            address
        case .full, .absent, .stopped: nil
        }
    }

    /// Where in the file the cause stands: for what has to do with the login, that is the password.
    func location(_ failure: BusFailure, at address: SourceLocation) -> SourceLocation {
        guard case .refused(_, let reason) = failure, Self.isLogin(reason) else { return address }
        let login = self.isSentinel(failure) ? self.fleet.sentinel?.login : self.fleet.login
        return login?.location ?? address
    }

    private static func isLogin(_ reason: String) -> Bool {
        ["WRONGPASS", "NOAUTH", "NOPERM"].contains { reason.hasPrefix($0) }
    }

    /// Whether a failure is a sentinel's, rather than a server's.
    private func isSentinel(_ failure: BusFailure) -> Bool {
        guard self.fleet.sentinel != nil, let address = Self.address(failure) else { return false }
        return self.fleet.redis.contains { BusAddress($0) == address }
    }

    func remedy(_ failure: BusFailure) -> String? {
        switch failure {
        case .unreachable(let address, _):
            return
                "Is it up, is this its host and port, and does it listen there (\"bind\" and \"\(address.usesTLS ? "tls-port" : "port")\" of its configuration)?"
        case .silent(let address):
            return address.usesTLS
                ? "Does it speak TLS on this port (\"tls-port\")? Otherwise it hangs, or a firewall drops what is sent to it."
                : "It hangs, or a firewall drops what is sent to it."
        case .closed(let address):
            return address.usesTLS
                ? "Its log says why. Does it ask for a client's certificate? Set \"tls-auth-clients no\": users and passwords say who may do what."
                : "Does it speak TLS on this port? Then write rediss://. Its log says more."
        case .refused(_, let reason):
            return self.remedy(refusal: reason, self.isSentinel(failure) ? "under sentinel" : "under fleet")
        case .notPrimary: return "Name its primary under redis, or let sentinels say which it is (\"sentinel\")."
        // It says so itself.
        case .wrongMode: return nil
        case .broken(let address, let reason):
            if address.usesTLS, reason.contains("WRONG_VERSION_NUMBER") {
                return "It speaks no TLS on this port: name its \"tls-port\", or write redis://."
            }
            guard address.usesTLS else {
                return "Is it a server of Redis or Valkey, 6 or later? If it speaks TLS, write rediss://."
            }
            return
                "Its certificate must be issued by an authority \(self.fleet.roots.map { "in \($0) (roots)" } ?? "that this system trusts (or name its file under roots)"), and be for \(self.fleet.tlsName ?? address.host)\(self.fleet.tlsName == nil ? " (or name what it is for under tls-name)" : " (tls-name)")."
        case .full, .absent, .stopped: return nil
        }
    }

    private func remedy(refusal: String, _ place: String) -> String? {
        switch refusal.prefix(while: { $0 != " " }) {
        case "WRONGPASS": "Compare user and password \(place) with the server's: `ACL LIST` there shows its users."
        case "NOAUTH": "Write user and password \(place)."
        case "NOPERM": "Give its user the rights that docs/fleet.md lists."
        case "DENIED":
            "It is in protected mode: give it users or a password, or bind it to addresses that only edges reach."
        case "LOADING": "It is reading its data. Try again."
        default:
            if refusal.contains("max number of clients") {
                "Raise \"maxclients\" of its configuration: each edge has one connection."
            } else if refusal.contains("unknown command") || refusal.hasPrefix("NOPROTO") {
                "It must be Redis or Valkey, 6 or later."
            } else {
                nil
            }
        }
    }
}
