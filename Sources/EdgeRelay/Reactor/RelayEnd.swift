import CRelaySockets
import NIOCore

/// One socket of a relayed connection, and what is known of it.
final class RelayEnd {
    private(set) var descriptor: Descriptor?
    /// As far as the poller told, or a call that gave less than it could.
    var isReadable = false
    var isWritable = false
    /// The peer has said everything, or the connection is broken: read to its end.
    private(set) var isEnding = false
    /// The poller told of an error.
    var isBroken = false
    /// The end of its input was read.
    var inputEnded = false
    /// Its output is to be closed, or the whole of it, after what waits to be written to it.
    var endsOutput = false
    var closes = false
    /// The peer was told that nothing more comes.
    private(set) var outputEnded = false

    init(_ descriptor: Descriptor? = nil) { self.descriptor = descriptor }

    var isOpen: Bool { self.descriptor != nil }

    /// What the poller tells.
    func became(_ what: UInt32) {
        if what & (LATCHSTRING_READABLE | LATCHSTRING_ENDING) != 0 { self.isReadable = true }
        if what & (LATCHSTRING_WRITABLE | LATCHSTRING_ENDING) != 0 { self.isWritable = true }
        if what & LATCHSTRING_ENDING != 0 { self.isEnding = true }
        if what & LATCHSTRING_BROKEN != 0 { self.isBroken = true }
    }

    /// Begins to connect. Whether the connection is there shows when something is written to it, or when the poller says so.
    func connect(to address: SocketAddress) throws(DescriptorError) {
        let number = address.withSockAddr { latchstring_connect($0, UInt32($1)) }
        self.descriptor = try Descriptor(owning: number)
        (self.isReadable, self.isWritable, self.isEnding, self.isBroken) = (false, true, false, false)
    }

    /// The error that the connection has met, if there is one.
    func takeError() -> Int32? {
        self.isBroken = false
        guard let descriptor else { return nil }
        let code = latchstring_socket_error(descriptor.number)
        return code == 0 ? nil : code
    }

    func endOutput() {
        guard let descriptor, !self.outputEnded else { return }
        latchstring_end_output(descriptor.number)
        self.outputEnded = true
    }

    func close() { self.descriptor = nil }

    /// Closes so that the peer sees a reset.
    func reset() {
        if let descriptor { latchstring_reset_when_closed(descriptor.number) }
        self.descriptor = nil
    }
}
