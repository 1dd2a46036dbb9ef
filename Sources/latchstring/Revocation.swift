import Admin
import KeyHolder
import KeyProtocol

/// What came of a revocation, as JSON between the admin port and `latchstring revoke`.
struct RevocationReport: Codable, Equatable, Sendable {
    var edge: String
    /// Whether it is revoked now.
    var revoked: Bool
    /// Whether it was otherwise before.
    var changed: Bool
}

extension RevocationReport {
    /// `POST /revoke?edge=NAME`, or with `&undo=1`.
    ///
    /// - Parameter edges: Where they are kept; nil: there is no state folder.
    static func endpoint(_ edges: RevokedEdges?, _ server: KeyHolderServer) -> AdminEndpoint {
        AdminEndpoint(method: "POST", path: "/revoke") { request in
            guard let edge = request.parameter("edge"), PartyName.isLegal(edge) else {
                return .failure(400, "the order names no edge", remedy: "Write edge=NAME.")
            }
            guard let edges else {
                return .failure(
                    409, "there is no folder to keep the revocation in, so a restart would forget it",
                    remedy:
                        "Remove the edge's grants from the key holder's file, and reload; or write state: FOLDER, and restart."
                )
            }
            guard !edges.isLent else {
                return .failure(503, "\(KeyHolderError.handingOver)")
            }
            if request.parameter("undo") == "1" {
                do {
                    // One that could not be written down is in force all the same.
                    let isKept = try edges.restore(edge)
                    let isNew = try server.restore(edge) || isKept
                    return AdminAnswer(RevocationReport(edge: edge, revoked: false, changed: isNew))
                } catch {
                    return .failure(500, "the edge stays revoked: \(error)")
                }
            }
            do {
                // First on disk, then in force: what is in force outlives a crash.
                let isNew = try edges.revoke(edge)
                try server.revoke(edge)
                return AdminAnswer(RevocationReport(edge: edge, revoked: true, changed: isNew))
            } catch {
                // A full disk must not keep an edge in.
                try? server.revoke(edge)
                return .failure(
                    500, "the edge is cut off, and a restart would forget it: \(error)",
                    remedy: "Remove its grants from the key holder's file.")
            }
        }
    }
}
