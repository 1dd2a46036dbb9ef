import NIOHTTP2

/// Why the library ended a connection: constant text for the metric.
enum HTTP2Fault {
    static func reason(_ error: any Error) -> String {
        switch error {
        case is NIOHTTP2Errors.ExcessiveNumberOfGlitches: "stream-error-flood"
        case is NIOHTTP2Errors.ExcessiveOutboundFrameBuffering: "unread-answers"
        case is NIOHTTP2Errors.ExcessiveEmptyDataFrames: "empty-frame-flood"
        case is NIOHTTP2Errors.ExcessiveContinuationFrames: "continuation-flood"
        case is NIOHTTP2Errors.ExcessivelyLargeHeaderBlock: "head-too-large"
        case is NIOHTTP2Errors.MaxStreamsViolation: "too-many-streams"
        case is NIOHTTP2Errors.FlowControlViolation: "flow-control"
        default: "protocol-error"
        }
    }
}
