internal import NIOCore

/// Sizes and tags of the packet format.
///
/// A packet is a header (major version `01`, minor version `00`, body length u16, id u32, all big endian) and a body of
/// items (tag u8, length u16, value).
enum KeyPacketLayout {
    static let majorVersion: UInt8 = 1
    static let minorVersion: UInt8 = 0
    static let headerSize: Int = 8
    static let itemHeaderSize: Int = 3
    static let maximumBodySize: Int = 0xFFFF
    /// Packets are padded to this size, header included, so that lengths tell less about what is asked.
    static let paddedSize: Int = 1024
    static let maximumTextSize: Int = 255
}

/// The tags of items. Values are hexadecimal in every description of the protocol.
enum KeyItemTag: UInt8 {
    case certificateDigest = 0x01
    case serverName = 0x02
    case clientIP = 0x03
    case subjectKeyIdentifier = 0x04
    case serverIP = 0x05
    case certificateID = 0x06
    case opcode = 0x11
    case payload = 0x12
    case function = 0x13
    case extra = 0x14
    case deadline = 0x15
    case hedge = 0x16
    case padding = 0x20

    /// Whether a value of this length can be right.
    func accepts(length: Int) -> Bool {
        switch self {
        case .certificateDigest: length == 32
        case .subjectKeyIdentifier: length == 20
        case .clientIP, .serverIP: length == 4 || length == 16
        case .serverName, .certificateID, .function: (1...KeyPacketLayout.maximumTextSize).contains(length)
        case .opcode: length == 1
        case .deadline: length == 4
        case .hedge: length == 0
        case .payload, .extra, .padding: length >= 0
        }
    }
}

/// Visible ASCII: what text items may hold. Keeps control characters and broken UTF-8 out of logs and audit lines.
func isVisibleASCII(_ byte: UInt8) -> Bool {
    (0x21...0x7E).contains(byte)
}
