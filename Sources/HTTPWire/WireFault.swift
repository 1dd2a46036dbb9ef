/// What is wrong with a message. The raw value is constant text for logs and metrics. `docs/http-wire.md` has the RFC
/// section of each.
public enum WireFault: String, Error, CaseIterable, Sendable {
    // Lines
    case bareCarriageReturn = "bare-cr"
    case bareLineFeed = "bare-lf"
    // Request line
    case badMethod = "bad-method"
    case methodTooLong = "method-too-long"
    case badTarget = "bad-target"
    case targetTooLong = "target-too-long"
    case whitespaceInStartLine = "whitespace-in-start-line"
    case missingVersion = "missing-version"
    case badVersion = "bad-version"
    case versionNotSupported = "version-not-supported"
    // Status line
    case badStatus = "bad-status"
    case badReason = "bad-reason"
    case startLineTooLong = "start-line-too-long"
    // Fields
    case emptyFieldName = "empty-field-name"
    case badFieldName = "bad-field-name"
    case spaceBeforeColon = "space-before-colon"
    case foldedLine = "folded-line"
    case controlInValue = "control-in-value"
    case headTooLarge = "head-too-large"
    case tooManyFields = "too-many-fields"
    case missingHost = "missing-host"
    case severalHosts = "several-hosts"
    // Framing
    case lengthAndCoding = "length-and-transfer-coding"
    case severalLengths = "several-lengths"
    case badLength = "bad-length"
    case badCoding = "bad-transfer-coding"
    case codingNotSupported = "transfer-coding-not-supported"
    case chunkedNotLast = "chunked-not-last"
    case codingInHTTP10 = "transfer-coding-in-http-1.0"
    // Chunked bodies
    case badChunkSize = "bad-chunk-size"
    case chunkTooLarge = "chunk-too-large"
    case badChunkExtension = "bad-chunk-extension"
    case chunkExtensionsTooLong = "chunk-extensions-too-long"
    case missingChunkEnd = "missing-chunk-end"
    case trailersTooLarge = "trailers-too-large"
    case tooManyTrailers = "too-many-trailers"
    // Connections
    case incomplete = "incomplete"
    case unexpectedResponse = "unexpected-response"
    case tooManyInformational = "too-many-informational-responses"

    /// One sentence for an error response's body.
    public var explanation: StaticString {
        switch self {
        case .bareCarriageReturn: "A carriage return stands without a line feed."
        case .bareLineFeed: "A line ends in a bare line feed."
        case .badMethod: "The method is not a token."
        case .methodTooLong: "The method is too long."
        case .badTarget: "The request target is not valid (RFC 9112, section 3.2)."
        case .targetTooLong: "The request target is too long."
        case .whitespaceInStartLine: "The first line has whitespace where none belongs."
        case .missingVersion: "The request line has no HTTP version."
        case .badVersion: "The HTTP version is malformed."
        case .versionNotSupported: "Only HTTP/1.0 and HTTP/1.1 are spoken here."
        case .badStatus: "The status code is not a number from 100 to 999."
        case .badReason: "The reason phrase has a control character."
        case .startLineTooLong: "The first line is too long."
        case .emptyFieldName: "A field has no name."
        case .badFieldName: "A field name has a character that is not allowed."
        case .spaceBeforeColon: "A field name is followed by whitespace."
        case .foldedLine: "A line of the head begins with whitespace."
        case .controlInValue: "A field value has a control character."
        case .headTooLarge: "The head is too large."
        case .tooManyFields: "The head has too many fields."
        case .missingHost: "The request has no Host field."
        case .severalHosts: "The request has more than one Host field."
        case .lengthAndCoding: "Content-Length and Transfer-Encoding exclude each other."
        case .severalLengths: "There is more than one Content-Length."
        case .badLength: "Content-Length is not a number of bytes."
        case .badCoding: "Transfer-Encoding is malformed."
        case .codingNotSupported: "The only transfer coding supported is chunked."
        case .chunkedNotLast: "Chunked has to be the last transfer coding, and only once."
        case .codingInHTTP10: "HTTP/1.0 has no Transfer-Encoding."
        case .badChunkSize: "A chunk size is not a hexadecimal number."
        case .chunkTooLarge: "A chunk size is too large."
        case .badChunkExtension: "A chunk extension has a control character."
        case .chunkExtensionsTooLong: "The chunk extensions are too long."
        case .missingChunkEnd: "A chunk's data is not followed by the end of a line."
        case .trailersTooLarge: "The trailers are too large."
        case .tooManyTrailers: "There are too many trailers."
        case .incomplete: "The connection ended within a message."
        case .unexpectedResponse: "A response came that no request asked for."
        case .tooManyInformational: "There are too many informational responses."
        }
    }
}

/// A message that is refused. The connection that it came on carries no further message: where this one ends is in doubt.
public struct WireError: Error, Hashable, Sendable {
    /// Whose message it is.
    public enum Sender: Hashable, Sendable {
        /// The client's request.
        case client
        /// The origin's response.
        case origin
    }

    public var fault: WireFault
    public var sender: Sender

    public init(_ fault: WireFault, from sender: Sender) {
        self.fault = fault
        self.sender = sender
    }

    /// The HTTP status that tells the client: 400, 414, 431, 501 or 505 if the fault is its own, 502 if it is the origin's.
    public var status: Int {
        guard self.sender == .client else { return 502 }
        return switch self.fault {
        case .targetTooLong, .startLineTooLong: 414
        case .headTooLarge, .tooManyFields, .trailersTooLarge, .tooManyTrailers: 431
        case .methodTooLong, .codingNotSupported: 501
        case .versionNotSupported: 505
        default: 400
        }
    }
}
