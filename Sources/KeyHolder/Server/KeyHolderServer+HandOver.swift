public import Channels
import Logging
import NIOCore
import PeerLink
import Synchronization

/// What a key holder finds that takes over from another process.
public struct KeyHolderPredecessor: Sendable {
    /// Has it let go of the audit file and of the state folder.
    ///
    /// - Returns: Edges that are revoked by then.
    public var claim: @Sendable () async throws -> Set<String>
    /// Has it accept no more at these listeners, by their numbers. When this returns, they are this process's.
    public var relieve: @Sendable (Set<Int>) async throws -> Void

    public init(
        claim: @escaping @Sendable () async throws -> Set<String>,
        relieve: @escaping @Sendable (Set<Int>) async throws -> Void
    ) {
        self.claim = claim
        self.relieve = relieve
    }
}

/// A socket at which a key holder listens.
struct HolderListener: Sendable {
    let channel: any Channel
    /// As ``InheritedListeners`` knows it.
    let name: String

    static func all(_ channels: [any Channel], at address: PeerAddress) -> [HolderListener] {
        let name: String = InheritedListeners.name(host: address.host, port: address.port)
        return channels.map { HolderListener(channel: $0, name: name) }
    }

    /// Leaves connections in the socket's queue, or accepts them again.
    func rest(_ isResting: Bool) async {
        // Fails where the socket is closed already.
        try? await self.channel.setOption(.autoRead, value: !isResting).get()
    }
}

/// Leaving the work to another process. The audit file is one process's at a time, and no key is used without it: so edges wait while
/// this one finishes what is under way and that one begins.
extension KeyHolderServer {
    /// Begins to hand over: nothing is read again until the end of it. It serves as ever.
    ///
    /// - Returns: All sockets that it listens at. The descriptors are the caller's to close.
    /// - Throws: ``KeyHolderError/handingOver``; ``KeyHolderError/auditClosed``, since what waits to be written would be lost.
    public func beginHandOver() async throws -> [PassedListener] {
        guard !self.core.audit.isClosed else { throw KeyHolderError.auditClosed }
        let isFirst: Bool = self.isHandingOver.withLock { isHandingOver in
            defer { isHandingOver = true }
            return !isHandingOver
        }
        guard isFirst else { throw KeyHolderError.handingOver }
        var passed: [PassedListener] = []
        for listener in self.allListeners {
            guard let descriptor = await ListeningChannel.descriptor(of: listener.channel) else { continue }
            passed.append(PassedListener(descriptor: descriptor, name: listener.name))
        }
        return passed
    }

    /// - Throws: ``KeyHolderError/handingOver``: what only one process may write, this one must leave alone.
    public func checkNotHandingOver() throws(KeyHolderError) {
        guard !self.isHandingOver.withLock({ $0 }) else { throw .handingOver }
    }

    private var allListeners: [HolderListener] {
        self.listeners.withLock { $0 } + self.native.listening
    }

    /// Leaves new connections in their queues, answers what is under way, ends all connections but native streams, and lets go of the audit
    /// file.
    ///
    /// - Throws: ``KeyHolderError/auditClosed``: lines could not be written. The other process must not have the file; ``keep(hasLetGo:)``
    ///   goes on.
    public func letGo() async throws(KeyHolderError) {
        for listener in self.allListeners { await listener.rest(true) }
        self.native.rest()
        self.dialler.rest()
        await self.core.registry.drain(within: self.core.limits.handOverTimeout)
        self.native.endHandshakes()
        self.stopTickers()
        // What threads hand back late leaves its lines, too.
        let end = NIODeadline.now() + self.core.limits.handOverTimeout
        while self.core.audit.pendingLines > 0, NIODeadline.now() < end {
            await self.group.any().pause(.milliseconds(2))
        }
        guard await self.core.audit.letGo() else { throw .auditClosed }
    }

    /// Nothing came of it.
    ///
    /// - Parameter hasLetGo: Whether ``letGo()`` was called.
    public func keep(hasLetGo: Bool) async {
        if hasLetGo {
            do throws(AuditLogError) { try self.core.audit.takeUp() } catch {
                self.logger.critical(
                    "operations are refused until the audit can be written; it is tried again",
                    metadata: ["reason": "\(error)"])
            }
            self.core.registry.reopen()
            self.native.reopen()
            self.startTickers()
            for listener in self.allListeners { await listener.rest(false) }
            self.dialler.resume()
        }
        self.isHandingOver.withLock { $0 = false }
    }

    /// The other process accepts: this one does so no more. It ends with the next graceful shutdown, which follows.
    public func handOver() async {
        for listener in self.allListeners { try? await listener.channel.close().get() }
    }
}
