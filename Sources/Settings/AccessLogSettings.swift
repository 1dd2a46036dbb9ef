public import Telemetry

/// Where the lines of the access log go, and what they look like.
public struct AccessLogSettings: Hashable, Sendable {
    public var target: LogTarget
    public var layout: AccessLayout

    public init(target: LogTarget, layout: AccessLayout) {
        self.target = target
        self.layout = layout
    }
}
