import Admin
import Channels
import Edge

/// An edge's process, as it is handed over: the sockets of its clients, and those of its admin ports.
struct EdgeParty: HandedOver {
    let server: EdgeServer
    /// Of the admin port and of that for monitoring.
    let admins: [AdminServer]

    func begin() async throws -> (EdgeHandOver, [PassedListener]) {
        let handOver = try await self.server.beginHandOver()
        return (handOver, handOver.listeners + (await self.admins.passed()))
    }

    func letGo(_ state: EdgeHandOver) async -> Set<String> {
        // What comes from now on waits for the successor: this process can purge no more.
        await self.admins.pause(true)
        return await self.server.letGo(state)
    }

    func keep(_ state: EdgeHandOver, hasLetGo: Bool) async {
        await self.server.keep(state, hasLetGo: hasLetGo)
        if hasLetGo { await self.admins.pause(false) }
    }

    func rest(_ state: EdgeHandOver, taken: Set<Int>, _ isResting: Bool) async {
        await self.server.rest(state, taken: taken, isResting)
    }

    func handOver(_ state: EdgeHandOver, taken: Set<Int>) async { await self.server.handOver(state, taken: taken) }

    func forgetStored(_ state: EdgeHandOver) { self.server.forgetStored(state) }
}

extension [AdminServer] {
    func passed() async -> [PassedListener] {
        var passed: [PassedListener] = []
        for server in self {
            if let listener = await server.passed() { passed.append(listener) }
        }
        return passed
    }

    func pause(_ isPaused: Bool) async {
        for server in self { await server.pause(isPaused) }
    }
}
