public import NIOCore
public import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// How many connections may wait to be accepted; the system's net.core.somaxconn bounds it.
public let listenBacklog: CInt = 4096

extension ServerBootstrap {
    /// Listens at each inherited socket with this address, or binds one.
    public func listen(host: String, port: Int, inherited: InheritedListeners) async throws -> [any Channel] {
        let sockets = inherited.take(host: host, port: port)
        guard !sockets.isEmpty else { return [try await self.bind(host: host, port: port).get()] }
        var channels: [any Channel] = []
        for socket in sockets { channels.append(try await self.listen(at: socket.descriptor)) }
        return channels
    }

    /// Listens at a socket that is bound already, and becomes its owner.
    public func listen(at descriptor: CInt) async throws -> any Channel {
        let channel = try await self.withBoundSocket(descriptor).get()
        // The bootstrap has given it a queue of its own length.
        setBacklog(descriptor)
        return channel
    }
}

/// Outside of the extension, where the name means another function.
private func setBacklog(_ descriptor: CInt) { _ = listen(descriptor, listenBacklog) }

/// A channel that listens, as what it stands on: a socket with a queue of connections, which other processes may have too.
public enum ListeningChannel {
    /// A descriptor of the same socket, which is the caller's and does not go to programs that are started; nil if the channel is closed.
    public static func descriptor(of channel: any Channel) async -> CInt? {
        try? await channel.eventLoop.submit {
            let copy = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
                of: NIOBSDSocket.Handle.self
            ) { fcntl($0, F_DUPFD_CLOEXEC, 0) }
            return copy.flatMap { $0 >= 0 ? $0 : nil }
        }.get()
    }

    /// Accepts what waits, and closes then: connections in the queue of the last copy of a socket would be reset.
    ///
    /// - Parameter time: at most, where clients go on coming.
    public static func closeWhenEmpty(_ channel: any Channel, within time: TimeAmount) async {
        let end = NIODeadline.now() + time
        while NIODeadline.now() < end, await Self.hasWaiting(channel) {
            try? await Task.sleep(for: .milliseconds(2))
        }
        try? await channel.close().get()
    }

    private static func hasWaiting(_ channel: any Channel) async -> Bool {
        let waiting = try? await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { socket in
                var question = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
                return poll(&question, 1, 0) == 1 && question.revents & Int16(POLLIN) != 0
            }
        }.get()
        return (waiting ?? nil) ?? false
    }
}
