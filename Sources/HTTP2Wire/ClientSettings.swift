import NIOCore

/// What a client has announced (RFC 9113 §6.5.2), as far as it concerns frames of ours.
struct ClientSettings: Equatable, Sendable {
    /// SETTINGS_MAX_FRAME_SIZE.
    private(set) var maximumFrameSize = FrameHeader.leastMaximum
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    private(set) var initialWindow = ReceiveWindow.initial
    /// SETTINGS_HEADER_TABLE_SIZE was below its default at some time: the next block has to say that the table is smaller.
    private(set) var hasSmallTable = false

    /// - Parameter payload: whole entries of six bytes.
    mutating func apply(_ payload: ByteBuffer) throws(ConnectionFault) {
        var payload = payload
        while let (parameter, value) = payload.readMultipleIntegers(as: (UInt16, UInt32).self) {
            switch parameter {
            // RFC 7541 §4.2.
            case 0x1: if value < DynamicTable.maximumSize { self.hasSmallTable = true }
            // Nothing is pushed, either way.
            case 0x2: guard value <= 1 else { throw .badSetting }
            case 0x4:
                guard value <= ServerConnection.greatestWindow else { throw .flowControl }
                self.initialWindow = Int(value)
            case 0x5:
                guard FrameHeader.leastMaximum...FrameHeader.greatestMaximum ~= Int(value) else { throw .badSetting }
                self.maximumFrameSize = Int(value)
            default: break
            }
        }
    }
}
