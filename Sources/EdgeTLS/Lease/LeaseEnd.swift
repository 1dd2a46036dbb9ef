import EdgeModel
import KeyProtocol
package import PeerLink

/// Why a site is not served: the lease that it was served under has ended, or there never was one.
package struct LeaseEnd: Error, Equatable, Sendable, CustomStringConvertible {
    /// A constant for metric labels.
    package enum Reason: String, Sendable {
        /// The key holder says that this edge has no grant at all.
        case noGrant = "no-grant"
        /// The key holder has other grants for this edge, but none for this site, or not in this mode.
        case refused
        /// No key holder was reached for the lease's time.
        case expired
        /// The key holder gives no leases.
        case formerRevision = "former-revision"
    }

    package var reason: Reason
    /// For log lines and the health check.
    package var description: String

    package init(_ reason: Reason, _ description: String) {
        self.reason = reason
        self.description = description
    }

    /// A key holder's word on this edge as a whole.
    package init(_ failure: LinkFailure) {
        switch failure {
        case .formerRevision: self.init(.formerRevision, "\(failure)")
        default: self.init(.noGrant, "\(failure)")
        }
    }

    /// A key holder's word on one site. Nil: it says nothing of grants.
    package init?(refusing failure: LinkFailure) {
        guard case .refused(let code) = failure else { return nil }
        switch code {
        case .keyNotFound, .certificateNotFound:
            self.init(
                .refused, "the key holder has no such site for this edge (error \(code.rawValue), \(code.name))")
        case .noGrant: self.init(failure)
        default: return nil
        }
    }
}
