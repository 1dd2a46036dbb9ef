/// Why a stream or a connection ends (RFC 9113 §7).
public struct HTTP2ErrorCode: Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let noError = HTTP2ErrorCode(rawValue: 0x0)
    public static let protocolError = HTTP2ErrorCode(rawValue: 0x1)
    public static let internalError = HTTP2ErrorCode(rawValue: 0x2)
    public static let flowControlError = HTTP2ErrorCode(rawValue: 0x3)
    public static let settingsTimeout = HTTP2ErrorCode(rawValue: 0x4)
    public static let streamClosed = HTTP2ErrorCode(rawValue: 0x5)
    public static let frameSizeError = HTTP2ErrorCode(rawValue: 0x6)
    public static let refusedStream = HTTP2ErrorCode(rawValue: 0x7)
    public static let cancel = HTTP2ErrorCode(rawValue: 0x8)
    public static let compressionError = HTTP2ErrorCode(rawValue: 0x9)
    public static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 0xB)
}

/// What a client did that ends its connection (RFC 9113 §5.4.1).
public enum ConnectionFault: Error, Equatable, Sendable {
    /// What a client begins with is no preface, or no SETTINGS frame follows (§3.4).
    case badPreface
    /// A frame where it has no place: within a header block, on stream 0 or on a stream of its own, on an idle stream, or PUSH_PROMISE
    /// (§5.1, §6).
    case misplacedFrame
    /// Padding that is longer than its frame, or a priority that is not whole (§6.1, §6.2).
    case brokenFrame
    /// A frame that is too large, or of another size than its type has (§4.2).
    case frameSize
    /// A value that a setting cannot have (§6.5.2).
    case badSetting
    /// A WINDOW_UPDATE of zero for the connection (§6.9).
    case zeroIncrement
    /// More than a window allows, or a window above 2^31-1 (§6.9).
    case flowControl
    /// DATA or HEADERS on a stream that the client has ended (§5.1).
    case streamClosed
    case compression(CompressionFault)
    /// A block of more CONTINUATION frames than the limit.
    case tooManyContinuations
    /// A block that is, or decodes to, several times what a section may have.
    case sectionTooLarge
    /// SETTINGS with more entries than there are settings, many times over.
    case tooManySettings
    /// More requests under way than our settings say, which the client has acknowledged (§5.1.2).
    case tooManyStreams
    /// DATA frames without data in a row.
    case tooManyEmptyFrames
    /// So many faults of single streams.
    case tooManyStreamFaults

    public var code: HTTP2ErrorCode {
        switch self {
        case .badPreface, .misplacedFrame, .brokenFrame, .badSetting, .zeroIncrement, .tooManyStreams: .protocolError
        case .frameSize: .frameSizeError
        case .flowControl: .flowControlError
        case .streamClosed: .streamClosed
        case .compression: .compressionError
        case .tooManyContinuations, .sectionTooLarge, .tooManySettings, .tooManyEmptyFrames, .tooManyStreamFaults:
            .enhanceYourCalm
        }
    }

    /// Constant text for logs and metrics.
    public var reason: String {
        switch self {
        case .badPreface, .misplacedFrame, .brokenFrame, .frameSize, .badSetting, .zeroIncrement, .streamClosed,
            .compression:
            "protocol-error"
        case .flowControl: "flow-control"
        case .tooManyContinuations: "continuation-flood"
        case .sectionTooLarge: "head-flood"
        case .tooManySettings: "settings-flood"
        case .tooManyStreams: "too-many-streams"
        case .tooManyEmptyFrames: "empty-frame-flood"
        case .tooManyStreamFaults: "stream-error-flood"
        }
    }
}

/// What a client did that ends one of its streams (RFC 9113 §5.4.2).
public enum StreamFault: Error, Equatable, Sendable {
    /// DATA or HEADERS behind the end of the request (§5.1).
    case halfClosed
    /// More DATA than the stream's window allows, or a window above 2^31-1 (§6.9).
    case flowControl
    /// A WINDOW_UPDATE of zero (§6.9).
    case zeroIncrement
    /// A second section that does not end the request (§8.1).
    case trailersWithoutEnd

    public var code: HTTP2ErrorCode {
        switch self {
        case .halfClosed: .streamClosed
        case .flowControl: .flowControlError
        case .zeroIncrement, .trailersWithoutEnd: .protocolError
        }
    }
}
