import Admin
import Channels
import Edge

/// An edge's process, as it is handed over: the sockets of its clients, and that of its admin port.
struct EdgeParty: HandedOver {
    let server: EdgeServer
    let admin: AdminServer?

    func begin() async throws -> (EdgeHandOver, [PassedListener]) {
        let handOver = try await self.server.beginHandOver()
        let admin = await self.admin?.passed()
        return (handOver, handOver.listeners + (admin.map { [$0] } ?? []))
    }

    func letGo(_ state: EdgeHandOver) async -> Set<String> {
        // What comes from now on waits for the successor: this process can purge no more.
        await self.admin?.pause(true)
        return await self.server.letGo(state)
    }

    func keep(_ state: EdgeHandOver, hasLetGo: Bool) async {
        await self.server.keep(state, hasLetGo: hasLetGo)
        if hasLetGo { await self.admin?.pause(false) }
    }

    func rest(_ state: EdgeHandOver, taken: Set<Int>, _ isResting: Bool) async {
        await self.server.rest(state, taken: taken, isResting)
    }

    func handOver(_ state: EdgeHandOver, taken: Set<Int>) async { await self.server.handOver(state, taken: taken) }

    func forgetStored(_ state: EdgeHandOver) { self.server.forgetStored(state) }
}
