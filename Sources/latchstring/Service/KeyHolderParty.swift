import ACMEClient
import Admin
import Channels
import KeyHolder
import Logging

/// A key holder's process, as it is handed over: the sockets of its edges and of its admin ports, and what only one process may write: the
/// audit file and the state folder.
struct KeyHolderParty: HandedOver {
    /// It is the key holder itself that knows how far it is.
    struct State: Sendable {}

    let server: KeyHolderServer
    /// Of the admin port and of that for monitoring.
    let admins: [AdminServer]
    /// nil: there is no state folder.
    let certificates: KeyHolderCertificates?
    let manager: CertificateManager?
    let revoked: RevokedEdges?

    func begin() async throws -> (State, [PassedListener]) {
        let listeners = try await self.server.beginHandOver()
        // The successor makes the keys of new sites before it reads them.
        await self.manager?.pause()
        self.certificates?.lock.letGo()
        return (State(), listeners + (await self.admins.passed()))
    }

    func letGo(_ state: State) async throws -> Set<String> {
        await self.admins.pause(true)
        self.revoked?.isLent = true
        try await self.server.letGo()
        return []
    }

    func keep(_ state: State, hasLetGo: Bool) async {
        // Orders have audit lines.
        self.revoked?.isLent = false
        await self.server.keep(hasLetGo: hasLetGo)
        do {
            try self.certificates?.lock.take()
            self.manager?.resume()
        } catch {
            self.server.logger.error(
                "no certificates are ordered; restart the key holder", metadata: ["reason": "\(error)"])
        }
        if hasLetGo { await self.admins.pause(false) }
    }

    /// ``letGo(_:)`` has them rest already.
    func rest(_ state: State, taken: Set<Int>, _ isResting: Bool) async {}

    func handOver(_ state: State, taken: Set<Int>) async { await self.server.handOver() }

    /// It stores nothing.
    func forgetStored(_ state: State) {}
}
