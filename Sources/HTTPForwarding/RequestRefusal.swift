/// Why a request isn't forwarded. The raw value is constant text for logs and metrics.
///
/// Every one of these is the client's doing. The connection is closed after the answer wherever the end of the request
/// can no longer be trusted.
public enum RequestRefusal: String, Error, CaseIterable, Sendable {
    case badTarget = "bad-target"
    case targetTooLong = "target-too-long"
    case asteriskNotOptions = "asterisk-not-options"
    case connectNotSupported = "connect-not-supported"
    case missingHost = "missing-host"
    case severalHosts = "several-hosts"
    case badHost = "bad-host"
    case authorityDiffersFromHost = "authority-differs-from-host"
    case hostNotServed = "host-not-served"
    case schemeNotServed = "scheme-not-served"
    case badFieldName = "bad-field-name"
    case badFieldValue = "bad-field-value"
    case connectionNamesVitalField = "connection-names-vital-field"
    case tooManyConnectionOptions = "too-many-connection-options"
    case lengthAndCoding = "length-and-transfer-coding"
    case differingLengths = "differing-lengths"
    case severalLengths = "several-lengths"
    case badLength = "bad-length"
    case codingInHTTP10 = "transfer-coding-in-http-1.0"
    case codingNotSupported = "transfer-coding-not-supported"
    case chunkedNotLast = "chunked-not-last"
    case traceWithBody = "trace-with-body"
    case badMaxForwards = "bad-max-forwards"
    case unknownExpectation = "unknown-expectation"
    case loop = "loop"
    case traceNotAnswered = "trace-not-answered"

    public var status: Int {
        switch self {
        case .targetTooLong: 414
        case .connectNotSupported, .codingNotSupported: 501
        case .hostNotServed, .schemeNotServed: 421
        case .unknownExpectation: 417
        case .loop: 508
        case .traceNotAnswered: 405
        default: 400
        }
    }

    /// One sentence for the response's body.
    public var explanation: String {
        switch self {
        case .badTarget: "The request target is not valid (RFC 9112, section 3.2)."
        case .targetTooLong: "The request target is too long."
        case .asteriskNotOptions: "The target * is for OPTIONS only."
        case .connectNotSupported: "CONNECT is not supported here."
        case .missingHost: "The request has no Host field."
        case .severalHosts: "The request has more than one Host field."
        case .badHost: "The Host is not valid."
        case .authorityDiffersFromHost: "The :authority and the Host field name different hosts."
        case .hostNotServed: "This connection does not serve that host. Open a new one for it."
        case .schemeNotServed: "This connection does not serve that scheme."
        case .badFieldName: "A field name has a character that is not allowed."
        case .badFieldValue: "A field value has a control character."
        case .connectionNamesVitalField: "Connection names a field that is not for one hop only."
        case .tooManyConnectionOptions: "Connection has too many options."
        case .lengthAndCoding: "Content-Length and Transfer-Encoding exclude each other."
        case .differingLengths: "There are several different Content-Length values."
        case .severalLengths: "There is more than one Content-Length."
        case .badLength: "Content-Length is not a number of bytes."
        case .codingInHTTP10: "HTTP/1.0 has no Transfer-Encoding."
        case .codingNotSupported: "The only transfer coding supported is chunked."
        case .chunkedNotLast: "Chunked has to be the last transfer coding, and only once."
        case .traceWithBody: "TRACE has no body."
        case .badMaxForwards: "Max-Forwards is not a number."
        case .unknownExpectation: "The only expectation supported is 100-continue."
        case .loop: "The request has been here before."
        case .traceNotAnswered: "TRACE is not answered here."
        }
    }

    /// Whether where this request ends is in doubt, so that nothing after it may be read.
    public var spoilsConnection: Bool {
        switch self {
        case .badFieldName, .badFieldValue, .connectionNamesVitalField, .tooManyConnectionOptions, .lengthAndCoding,
            .differingLengths,
            .severalLengths,
            .badLength,
            .codingInHTTP10, .codingNotSupported, .chunkedNotLast, .connectNotSupported, .badTarget, .traceWithBody,
            .missingHost, .severalHosts, .badHost, .authorityDiffersFromHost:
            true
        default:
            false
        }
    }
}
