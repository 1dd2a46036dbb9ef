import NIOCore

/// One stream as one end of its link has it.
struct MachineStream {
    var isAccepted: Bool
    private var output = ByteQueue()
    /// What the peer takes, bytes.
    var credit: Int
    /// An end is to follow what is queued.
    var endIsDue = false
    /// And that is a close.
    var closeIsDue = false
    /// The last that this end has to say on its data was said, or waits to be sent.
    var outputEnded = false
    var window: ReceiveWindow
    /// What the window allows the peer, and the peer was not told yet, bytes.
    var untold = 0
    var inputEnded = false
    /// Its owner wants to hear no more of it.
    var isAbandoned = false
    /// It stands in the line of those that have something to send.
    var isInLine = false

    init(isAccepted: Bool, credit: Int, window: ReceiveWindow) {
        self.isAccepted = isAccepted
        self.credit = credit
        self.window = window
    }

    /// What is to be sent, bytes.
    var queued: Int { self.output.readableBytes }
    /// What is kept for that, bytes.
    var keptBytes: Int { self.output.keptBytes }

    var takesOutput: Bool { !self.endIsDue && !self.outputEnded }

    var hasOutput: Bool {
        self.queued > 0 ? self.credit > 0 : self.endIsDue && !self.outputEnded
    }

    mutating func send(_ bytes: ByteBuffer) {
        let waits = !self.output.isEmpty
        self.output.append(bytes)
        if waits { self.output.settle() }
    }

    /// - Returns: false: that is more than the peer was told that it may send.
    mutating func received(_ count: Int) -> Bool {
        count <= self.window.allowed - self.untold && self.window.received(count)
    }

    /// Nothing that is queued is sent any more.
    mutating func endOutput() {
        self.output.removeAll()
        self.outputEnded = true
    }

    /// One frame of data, and the end if it follows.
    ///
    /// - Returns: how many bytes of data.
    mutating func writeTurn(of id: StreamFrame.ID, into buffer: inout ByteBuffer) -> Int {
        let count = min(self.queued, self.credit, StreamFrame.maximumBody)
        if count > 0 {
            StreamFrame.writeHeader(.data, length: count, id, into: &buffer)
            self.output.move(count, into: &buffer)
            self.credit -= count
        }
        if self.queued == 0, self.endIsDue, !self.outputEnded {
            self.outputEnded = true
            (self.closeIsDue ? StreamFrame.close(id) : .end(id)).write(into: &buffer)
        }
        return count
    }
}
