internal import DequeModule
public import NIOCore

/// One end of a link that carries many streams. Pure: no channels, no time.
///
/// The *opener* (the edge) opens streams, the *accepter* (the key holder) takes or refuses them. Each direction of a stream ends by itself; a
/// stream is forgotten when both ends have said their last on it. Frames to be sent are made when there is room for them
/// (``write(into:upTo:)``): those that say something about streams first, then data, of each stream in its turn, so that no stream
/// keeps another one waiting.
///
/// - Our bug: words about a stream that is none; ignored, since a stream may just have ended.
/// - The peer's violations: ``StreamLinkError``; the link is over.
/// - Silently dropped: what comes for a stream that this end has closed, as far as it was allowed; words that crossed the last one of this end.
///
/// What a peer can make this end hold: for each of ``Limits/streams`` a window and the number that says how much more it may send, what the
/// ``WindowBudget`` has beyond that, and ``Limits/control`` frames that wait to be sent. What the owner sends is the owner's to bound.
public struct StreamMachine {
    public typealias ID = StreamFrame.ID

    public enum Role: Sendable {
        case opener
        case accepter
    }

    public struct Limits: Sendable {
        /// Of a link, with those that only the peer has yet to end.
        public var streams = 1024
        /// What is said of a stream when it is opened, in bytes.
        public var introduction = 256
        /// What an accepter takes on a stream that it has not accepted, in bytes.
        public var beforeAcceptance = 4096
        /// What each stream may hold at least, in bytes.
        public var window = 65_536
        /// And at most.
        public var largestWindow = 2 << 20
        /// By how much all windows together may be larger than they are at first, in bytes, where the link has a budget of its own.
        public var growth = 64 << 20
        /// Frames about streams that wait to be sent.
        public var control = 8192
        /// Streams that a link carries in its life: numbers are used once.
        public var numbers: ID = 1 << 31

        public init() {}
    }

    /// What a frame of the peer's means for the owner.
    public enum Event: Equatable, Sendable {
        /// For an accepter: a stream, which is to be accepted, reset or closed.
        case opened(ID, introduction: ByteBuffer)
        /// For an opener: the other end has taken it.
        case accepted(ID)
        case data(ID, ByteBuffer)
        /// No more data.
        case ended(ID)
        /// The peer sends and reads nothing more. What it sent before counts.
        case closed(ID)
        /// The peer broke it off.
        case reset(ID, StreamReset)
        /// For an opener: no further streams over this link.
        case draining
        case pong(UInt64)
    }

    public let role: Role
    public let limits: Limits
    private var streams: [ID: MachineStream] = [:]
    /// Of streams that have ended at both ends: what their owner has yet to read.
    private var leftovers: [ID: ReceiveWindow] = [:]
    /// The last that was opened.
    private var lastID: ID = 0
    private var control = Deque<StreamFrame>()
    /// A pong that waits to be sent: of several pings the last one is answered.
    private var pong: UInt64?
    /// Those whose peer is to be told that it may send more.
    private var grants = Deque<ID>()
    private var line = Deque<ID>()
    private let budget: WindowBudget
    public private(set) var isDraining = false

    /// - Parameter budget: which the peer's other links share; nil: one of ``Limits/growth``.
    public init(role: Role, limits: Limits = Limits(), budget: WindowBudget? = nil) {
        self.role = role
        self.limits = limits
        self.budget = budget ?? WindowBudget(limits.growth)
    }

    /// Those that have not ended at both ends.
    public var streamCount: Int { self.streams.count }

    /// Whether the link has room for another stream now.
    public var takesStreams: Bool { self.takesMoreEver && self.streams.count < self.limits.streams }

    /// Whether the link may carry another stream at any time.
    public var takesMoreEver: Bool { !self.isDraining && self.lastID < self.limits.numbers }

    var budgetLeft: Int { self.budget.left }

    /// What is kept for data that waits to be sent, bytes.
    var keptBytes: Int { self.streams.values.reduce(0) { $0 + $1.keptBytes } }

    /// Frames about streams that wait to be sent. Send them before they are too many, also while more is read.
    public var waitingControl: Int { self.control.count + self.grants.count }

    /// Whether there is something to send now.
    public var hasOutput: Bool {
        !self.control.isEmpty || self.pong != nil || !self.grants.isEmpty || !self.line.isEmpty
    }

    // MARK: The owner's wishes

    /// For an opener.
    ///
    /// - Parameter introduction: for the accepter, of the length that the limits allow.
    /// - Returns: nil: the link carries no further stream.
    public mutating func open(introduction: ByteBuffer) -> ID? {
        guard self.role == .opener, self.takesStreams, introduction.readableBytes <= self.limits.introduction
        else { return nil }
        self.lastID += 1
        let window = ReceiveWindow(size: self.limits.window)
        self.streams[self.lastID] = MachineStream(
            isAccepted: false, credit: self.limits.beforeAcceptance, window: window)
        self.control.append(.open(self.lastID, window: UInt32(window.allowed), introduction: introduction))
        return self.lastID
    }

    /// For an accepter: takes a stream that was opened.
    public mutating func accept(_ id: ID) {
        guard self.role == .accepter, var stream = self.streams[id], !stream.isAccepted, !stream.isAbandoned else {
            return
        }
        stream.isAccepted = true
        let more = stream.window.grantAll()
        self.streams[id] = stream
        self.control.append(.accept(id, window: UInt32(more)))
    }

    /// Queues data for the peer.
    public mutating func send(_ bytes: ByteBuffer, on id: ID) {
        guard bytes.readableBytes > 0, let index = self.streams.index(forKey: id),
            self.streams.values[index].takesOutput
        else { return }
        self.streams.values[index].send(bytes)
        self.enterLine(id)
    }

    /// No more data for the peer behind what is queued.
    public mutating func end(_ id: ID) {
        guard let index = self.streams.index(forKey: id), self.streams.values[index].takesOutput else { return }
        self.streams.values[index].endIsDue = true
        self.enterLine(id)
    }

    /// The owner sends nothing more and hears nothing more of the stream. What is queued is sent before that, where the peer takes it; else the stream
    /// is broken off.
    public mutating func close(_ id: ID) {
        self.dropLeftovers(id)
        guard let stream = self.streams[id], !stream.isAbandoned else { return }
        guard stream.queued > 0 else { return self.abandon(id, saying: .close(id)) }
        guard stream.queued <= stream.credit else { return self.reset(id, .broken) }
        self.streams[id]?.isAbandoned = true
        self.streams[id]?.endIsDue = true
        self.streams[id]?.closeIsDue = true
        self.enterLine(id)
    }

    /// Breaks a stream off, or refuses it.
    public mutating func reset(_ id: ID, _ reason: StreamReset) {
        self.dropLeftovers(id)
        guard let stream = self.streams[id], !stream.isAbandoned else { return }
        self.abandon(id, saying: .reset(id, reason))
    }

    /// The owner has taken so many bytes of what it was given.
    public mutating func consumed(_ count: Int, on id: ID) {
        if var window = self.leftovers[id] {
            window.take(count, budget: self.budget)
            self.leftovers[id] = window.unread > 0 ? window : nil
            if window.unread == 0 { window.release(self.budget) }
            return
        }
        guard let index = self.streams.index(forKey: id), !self.streams.values[index].isAbandoned else { return }
        guard !self.streams.values[index].inputEnded else {
            return self.streams.values[index].window.take(count, budget: self.budget)
        }
        let more = self.streams.values[index].window.read(
            count, largest: self.limits.largestWindow, budget: self.budget)
        guard more > 0 else { return }
        // One frame for all that it may send when the frame is made, however long the peer reads nothing.
        if self.streams.values[index].untold == 0 { self.grants.append(id) }
        self.streams.values[index].untold += more
    }

    public mutating func ping(_ number: UInt64) { self.control.append(.ping(number)) }

    /// For an accepter: takes no further streams.
    public mutating func drain() {
        guard self.role == .accepter, !self.isDraining else { return }
        self.isDraining = true
        self.control.append(.drain)
    }

    /// The link is over. What was received of streams whose peer had said all is the owner's to read still, and counts until it was read or its
    /// stream is closed; the others give back what they had of the budget. What is said about them from now on is ignored.
    public mutating func end() {
        for (id, stream) in self.streams { self.endInput(of: stream, id) }
        self.streams = [:]
        self.control = []
        self.grants = []
        self.pong = nil
        self.line = []
    }

    private mutating func dropLeftovers(_ id: ID) {
        self.leftovers.removeValue(forKey: id)?.release(self.budget)
    }

    private mutating func abandon(_ id: ID, saying last: StreamFrame) {
        self.streams[id]?.isAbandoned = true
        self.sayLast(last, on: id)
    }

    /// Nothing that is queued is sent any more, but this.
    private mutating func sayLast(_ last: StreamFrame, on id: ID) {
        self.streams[id]?.endOutput()
        self.control.append(last)
        self.forgetIfOver(id)
    }

    private mutating func forgetIfOver(_ id: ID) {
        guard let stream = self.streams[id], stream.inputEnded, stream.outputEnded else { return }
        self.streams[id] = nil
        self.endInput(of: stream, id)
    }

    /// The stream is none of the link's any more.
    private mutating func endInput(of stream: MachineStream, _ id: ID) {
        if stream.inputEnded, !stream.isAbandoned, stream.window.unread > 0 {
            self.leftovers[id] = stream.window
        } else {
            stream.window.release(self.budget)
        }
    }

    // MARK: From the peer

    /// - Returns: what the owner is to know; nil: nothing.
    public mutating func receive(_ frame: StreamFrame) throws(StreamLinkError) -> Event? {
        switch frame {
        case .open(let id, let window, let introduction): return try self.opened(id, Int(window), introduction)
        case .accept(let id, let window): return try self.accepted(id, Int(window))
        case .data(let id, let bytes): return try self.received(bytes, on: id)
        case .end(let id): return try self.ended(id)
        case .close(let id): return try self.gone(id, .closed(id))
        case .reset(let id, let reason): return try self.gone(id, .reset(id, reason))
        case .window(let id, let more): return try self.allowed(Int(more), on: id)
        case .ping(let number):
            self.pong = number
            return nil
        case .pong(let number): return .pong(number)
        case .drain:
            guard self.role == .opener else { throw .badStream(0) }
            self.isDraining = true
            return .draining
        }
    }

    private mutating func opened(
        _ id: ID, _ window: Int, _ introduction: ByteBuffer
    ) throws(StreamLinkError) -> Event? {
        guard self.role == .accepter, self.lastID < .max, id == self.lastID + 1 else { throw .badOpen(id) }
        guard window <= Int32.max else { throw .windowOverflow(id) }
        guard self.streams.count < self.limits.streams else { throw .tooManyStreams }
        try self.checkControl()
        self.lastID = id
        self.streams[id] = MachineStream(
            isAccepted: false, credit: window,
            window: ReceiveWindow(size: self.limits.window, allowed: self.limits.beforeAcceptance))
        if self.isDraining {
            self.reset(id, .draining)
            return nil
        }
        // What ended streams left unread is held here, too, and is not the opener's to know.
        if self.streams.count + self.leftovers.count > self.limits.streams {
            self.reset(id, .busy)
            return nil
        }
        return .opened(id, introduction: introduction)
    }

    private mutating func accepted(_ id: ID, _ window: Int) throws(StreamLinkError) -> Event? {
        guard let stream = try self.stream(id), self.role == .opener, !stream.isAccepted, !stream.inputEnded else {
            throw .unexpected(id)
        }
        self.streams[id]?.isAccepted = true
        try self.addCredit(window, to: id)
        return stream.isAbandoned ? nil : .accepted(id)
    }

    private mutating func received(_ bytes: ByteBuffer, on id: ID) throws(StreamLinkError) -> Event? {
        guard var stream = try self.stream(id), !stream.inputEnded else { throw .unexpected(id) }
        guard stream.isAccepted || self.role == .accepter else { throw .unexpected(id) }
        guard stream.received(bytes.readableBytes) else { throw .overWindow(id) }
        self.streams[id] = stream
        return stream.isAbandoned ? nil : .data(id, bytes)
    }

    private mutating func ended(_ id: ID) throws(StreamLinkError) -> Event? {
        guard let stream = try self.stream(id), !stream.inputEnded else { throw .unexpected(id) }
        guard stream.isAccepted || self.role == .accepter else { throw .unexpected(id) }
        self.streams[id]?.inputEnded = true
        self.forgetIfOver(id)
        return stream.isAbandoned ? nil : .ended(id)
    }

    /// A close or a reset.
    private mutating func gone(_ id: ID, _ event: Event) throws(StreamLinkError) -> Event? {
        // It may have crossed the last word of this end, after which the stream was forgotten.
        guard let stream = try self.stream(id) else { return nil }
        try self.checkControl()
        self.streams[id]?.inputEnded = true
        // What was sent before a reset is not read any more.
        if case .reset = event { self.streams[id]?.isAbandoned = true }
        if stream.outputEnded {
            self.forgetIfOver(id)
        } else {
            // The peer is told that it may forget the stream, too.
            self.sayLast(.close(id), on: id)
        }
        return stream.isAbandoned ? nil : event
    }

    private mutating func allowed(_ more: Int, on id: ID) throws(StreamLinkError) -> Event? {
        guard try self.stream(id) != nil else { return nil }
        try self.addCredit(more, to: id)
        return nil
    }

    private mutating func addCredit(_ more: Int, to id: ID) throws(StreamLinkError) {
        guard let stream = self.streams[id] else { return }
        guard stream.credit + more <= Int32.max else { throw .windowOverflow(id) }
        self.streams[id]?.credit += more
        self.enterLine(id)
    }

    /// - Returns: nil: it was one, and has ended.
    private func stream(_ id: ID) throws(StreamLinkError) -> MachineStream? {
        guard id <= self.lastID else { throw .unexpected(id) }
        return self.streams[id]
    }

    /// What a peer brings about by frames must not gather here.
    private func checkControl() throws(StreamLinkError) {
        guard self.control.count <= self.limits.control else { throw .notReading }
    }

    // MARK: To the peer

    private mutating func enterLine(_ id: ID) {
        guard let index = self.streams.index(forKey: id) else { return }
        guard !self.streams.values[index].isInLine, self.streams.values[index].hasOutput else { return }
        self.streams.values[index].isInLine = true
        self.line.append(id)
    }

    private mutating func writeGrant(of id: ID, into buffer: inout ByteBuffer) {
        guard let index = self.streams.index(forKey: id) else { return }
        let more = self.streams.values[index].untold
        self.streams.values[index].untold = 0
        guard !self.streams.values[index].isAbandoned, !self.streams.values[index].inputEnded else { return }
        StreamFrame.window(id, UInt32(clamping: more)).write(into: &buffer)
    }

    /// Appends frames until the buffer has so many bytes, one frame more at most, or nothing is left to be sent.
    ///
    /// - Parameter left: called with each stream whose data was written, and how many bytes of it.
    public mutating func write(into buffer: inout ByteBuffer, upTo size: Int, left: (ID, Int) -> Void) {
        while buffer.readableBytes < size, let frame = self.control.popFirst() { frame.write(into: &buffer) }
        if let number = self.pong, buffer.readableBytes < size {
            self.pong = nil
            StreamFrame.pong(number).write(into: &buffer)
        }
        while buffer.readableBytes < size, let id = self.grants.popFirst() { self.writeGrant(of: id, into: &buffer) }
        while buffer.readableBytes < size, let id = self.line.popFirst() {
            guard let index = self.streams.index(forKey: id) else { continue }
            self.streams.values[index].isInLine = false
            let count = self.streams.values[index].writeTurn(of: id, into: &buffer)
            if count > 0 { left(id, count) }
            self.enterLine(id)
            self.forgetIfOver(id)
        }
    }
}
