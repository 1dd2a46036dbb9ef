public import NIOCore

/// The protected stream after a native handshake: data both ways, each direction ending on its own.
///
/// Which inputs are whose:
/// - our bug (``NativeError/internalFailure(_:)``): data after ``end()`` or after a failure;
/// - the peer's violation (thrown; the stream is over): a record that does not open, one without data, or anything after
///   its end of data;
/// - silently dropped: nothing. In particular an end of the connection without an end of data is ``NativeError/truncated``.
public struct NativeSession: Sendable {
    /// What a record held.
    public enum Incoming: Equatable, Sendable {
        case data(ByteBuffer)
        /// The peer has no more data.
        case end
    }

    private var sealer: NativeSealer
    private var opener: NativeOpener
    private var hasFailed = false
    /// The peer's side came to a bad end: its data is not complete.
    private var inputFailed = false
    /// Whether this side has said that it has no more data.
    public private(set) var hasEnded = false
    /// Whether the peer has.
    public private(set) var peerHasEnded = false

    init(sealer: NativeSealer, opener: NativeOpener) {
        self.sealer = sealer
        self.opener = opener
    }

    /// Protects data, in as many records as it takes. Nothing comes of nothing.
    public mutating func send(_ data: ByteBuffer) throws(NativeError) -> ByteBuffer {
        guard !self.hasEnded, !self.hasFailed else { throw .internalFailure("data after the end") }
        var data: ByteBuffer = data
        var output = ByteBuffer()
        let records: Int = data.readableBytes / NativeNumbers.maximumData + 1
        output.reserveCapacity(data.readableBytes + 32 * records)
        while let part = data.readSlice(length: min(data.readableBytes, NativeNumbers.maximumData)),
            part.readableBytes > 0
        {
            try self.sealer.seal(.data, part.readableBytesView, into: &output)
        }
        return output
    }

    /// Says that there is no more data; nil if that was said before.
    public mutating func end() throws(NativeError) -> ByteBuffer? {
        guard !self.hasEnded, !self.hasFailed else { return nil }
        self.hasEnded = true
        var output = ByteBuffer()
        try self.sealer.seal(.end, ByteBuffer().readableBytesView, into: &output)
        return output
    }

    /// Gives up: the alert in a protected record, if one can still be sent.
    public mutating func fail(_ alert: NativeAlert) -> ByteBuffer? {
        guard !self.hasFailed, !self.hasEnded else { return nil }
        self.hasFailed = true
        var output = ByteBuffer()
        do throws(NativeError) {
            try self.sealer.seal(.alert, ByteBuffer(bytes: [alert.rawValue]).readableBytesView, into: &output)
        } catch { return nil }
        return output
    }

    /// Takes one record.
    ///
    /// - Throws: ``NativeError``; ``NativeError/alert(_:)`` where the peer gave up.
    public mutating func receive(_ frame: NativeFrame) throws(NativeError) -> Incoming {
        guard !self.hasFailed else { throw .internalFailure("record after a failure") }
        do throws(NativeError) {
            return try self.open(frame)
        } catch {
            // A session that met a bad record opens no other; it may still say so.
            self.peerHasEnded = true
            self.inputFailed = true
            throw error
        }
    }

    private mutating func open(_ frame: NativeFrame) throws(NativeError) -> Incoming {
        // In the clear: from an origin that refused our Finished, or from any party on the way. Over it is in both cases.
        if frame.type == .alert { throw try .alert(frame.alert) }
        guard frame.type == .protected else { throw .unexpectedMessage }
        guard !self.peerHasEnded else { throw .afterEnd }
        var (content, bytes): (NativeContent, ByteBuffer) = try self.opener.open(frame)
        switch content {
        case .data:
            guard bytes.readableBytes > 0 else { throw .malformed("record without data") }
            return .data(bytes)
        case .end:
            guard bytes.readableBytes == 0 else { throw .malformed("end with data") }
            self.peerHasEnded = true
            return .end
        case .alert:
            let code: UInt8 = try bytes.takeInteger("alert")
            throw .alert(NativeAlert(rawValue: code) ?? .internalError)
        }
    }

    /// The connection's input has ended.
    ///
    /// - Throws: ``NativeError/truncated`` if the peer had not said that it has no more data, or the stream had failed.
    public func inputEnded() throws(NativeError) {
        guard self.peerHasEnded, !self.inputFailed else { throw .truncated }
    }
}
