public import NIOCore

/// What the owner of a ``Pump`` hears of it. All calls come on the pump's event loop.
public protocol PumpOwner: AnyObject {
    /// The client's connection closed before there was an origin. Nothing follows.
    func clientLeft()
    /// Bytes moved, in either direction.
    func moved(at now: NIODeadline)
    /// Both connections are closed, or about to be. Nothing follows.
    ///
    /// - Parameters:
    ///   - fromClient: bytes that were read from the client, without those that the owner sent on itself.
    ///   - fromOrigin: bytes that were read from the origin.
    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int)
}

/// Bytes between two connections, both ways, until both directions have ended, one connection breaks, nothing moves for too
/// long, or the lifetime is over. Lives on one event loop, with both connections.
///
/// ``PumpMachine`` decides what ends mean and ``PumpLimits`` how long it may last; this and ``PumpHandler`` carry it out. Both
/// channels have `autoRead` off and half-closure allowed: a side is read only while the other takes what is written to it.
public final class Pump {
    private enum Phase {
        case waiting
        case attached(PumpHandler)
        case running(PumpHandler)
        case over
    }

    private let eventLoop: any EventLoop
    private let originTraits: PumpTraits
    private let dropTime: DropTime
    private var client: PumpHandler?
    private var owner: (any PumpOwner)?
    private var phase = Phase.waiting
    private var machine: PumpMachine
    private var limits: PumpLimits
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - idle: without a byte for so long, both connections are closed; nil: others see to that.
    ///   - lifetime: both are closed at this age; nil: at none.
    ///   - drop: how long a side stays whose other side is gone and had said everything.
    ///   - owner: held until it has heard the last.
    public init(
        client: PumpTraits, origin: PumpTraits, idle: TimeAmount?, lifetime: TimeAmount?, drop: DropTime,
        on eventLoop: any EventLoop,
        owner: any PumpOwner
    ) {
        self.eventLoop = eventLoop
        self.originTraits = origin
        self.dropTime = drop
        self.owner = owner
        self.machine = PumpMachine(client: client, origin: origin)
        self.limits = PumpLimits(idle: idle, lifetime: lifetime, now: .now())
        self.client = PumpHandler(side: .client, traits: client, pump: self)
    }

    /// Takes what the client sends from now on, and keeps it until there is an origin. What was asked for to be read comes all
    /// the same; no more is asked for but by ``readAhead()``.
    ///
    /// - Throws: if the channel is closed.
    public func take(client channel: any Channel) throws {
        guard let client else { return }
        do {
            try channel.pipeline.syncOperations.addHandler(client)
        } catch {
            self.over()
            throw error
        }
    }

    /// Asks for one read of the client's, which is kept as well: a channel that goes on reading keeps its place in the selector, and asks
    /// the system for nothing when bytes begin to flow. Call it in the client's `channelReadComplete`.
    public func readAhead() { self.client?.readAhead() }

    /// Gives the client's channel back, for an answer; there will be no origin.
    public func abandonClient() {
        let client = self.client
        self.over()
        client?.abandon()
    }

    /// Takes the origin's channel, on which the owner may still write before ``start()``.
    ///
    /// - Throws: if the channel is closed.
    public func take(origin channel: any Channel) throws {
        guard case .waiting = self.phase else { return channel.close(promise: nil) }
        let origin = PumpHandler(side: .origin, traits: self.originTraits, pump: self)
        try channel.pipeline.syncOperations.addHandler(origin)
        self.phase = .attached(origin)
    }

    /// Lets bytes flow.
    ///
    /// - Parameter clientEnded: the client had closed its output before the pump took its channel.
    public func start(clientEnded: Bool = false) {
        guard case .attached(let origin) = self.phase, let client else { return }
        self.phase = .running(origin)
        self.limits.active(now: .now())
        self.scheduleCheck()
        origin.start(to: client)
        client.start(to: origin, hasEnded: clientEnded)
    }

    /// For a client that is gone, but had said everything before: the origin gets it, and what it answers is dropped.
    ///
    /// - Throws: if the channel is closed.
    public static func deliver(_ bytes: ByteBuffer, to channel: any Channel, within time: DropTime) throws {
        let origin = PumpHandler(side: .origin, traits: PumpTraits(), pump: nil)
        try channel.pipeline.syncOperations.addHandler(origin)
        origin.write(bytes)
        origin.drop(for: time)
        origin.closeOutput()
    }

    // MARK: What the handlers tell

    func moved() {
        let now = NIODeadline.now()
        self.limits.active(now: now)
        self.owner?.moved(at: now)
    }

    func inputEnded(_ side: PumpSide) {
        if let action = self.machine.inputEnded(side) { self.perform(action) }
    }

    func outputEnded(_ side: PumpSide) { self.machine.outputEnded(side) }

    func broke(_ side: PumpSide) { self.machine.broke(side) }

    func closed(_ side: PumpSide) {
        switch self.phase {
        case .waiting:
            let owner = self.owner
            self.over()
            owner?.clientLeft()
        case .attached, .running:
            for action in self.machine.closed(side) { self.perform(action) }
            if self.machine.isOver { self.end(self.machine.brokeOff ? .reset : .closed) }
        case .over:
            break
        }
    }

    private func handler(_ side: PumpSide) -> PumpHandler? {
        switch (side, self.phase) {
        case (.client, _): self.client
        case (.origin, .attached(let origin)), (.origin, .running(let origin)): origin
        case (.origin, _): nil
        }
    }

    private func perform(_ action: PumpMachine.Action) {
        switch action {
        case .closeOutput(let side): self.handler(side)?.closeOutput()
        case .finish(let side): self.handler(side)?.finish()
        case .finishSoon(let side): self.handler(side)?.finish(within: self.dropTime.patience)
        case .breakOff(let side): self.handler(side)?.breakOff()
        case .drop(let side): self.handler(side)?.drop(for: self.dropTime)
        }
    }

    // MARK: Limits and the end

    private func scheduleCheck() {
        switch self.limits.check(now: .now()) {
        case .check(.distantFuture): break
        case .check(let time):
            self.timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.scheduleCheck() }
        case .idle: self.expire(.idle)
        case .lifetime: self.expire(.lifetime)
        }
    }

    private func expire(_ end: PumpEnd) {
        guard case .running(let origin) = self.phase else { return }
        let client = self.client
        self.end(end)
        client?.close()
        origin.close()
    }

    private func end(_ end: PumpEnd) {
        guard let origin = self.handler(.origin), let client else { return }
        let owner = self.owner
        self.over()
        owner?.ended(end, fromClient: client.bytesReceived, fromOrigin: origin.bytesReceived)
    }

    private func over() {
        self.phase = .over
        self.client = nil
        self.owner = nil
        self.timer?.cancel()
        self.timer = nil
    }
}

extension Channel {
    /// Makes the next close a reset. Call it on the channel's event loop: there it takes effect at once.
    public func resetWhenClosed() {
        // `struct linger` is two ints everywhere, on and seconds; its module is not ours to import by name.
        let onForZeroSeconds = unsafeBitCast((CInt(1), CInt(0)), to: NIOLinger.self)
        _ = (self as? any SocketOptionProvider)?.setSoLinger(onForZeroSeconds)
    }

    /// Closes so that the peer sees a reset: no end of data, but a connection that came to nothing.
    public func reset() {
        self.resetWhenClosed()
        self.close(promise: nil)
    }
}
