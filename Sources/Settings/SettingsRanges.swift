/// What each setting may be. `docs/configuration.md` repeats these.
enum SettingsRanges {
    static let threads: ClosedRange<Int> = 1...1024
    static let deadline: ClosedRange<Duration> = .milliseconds(10) ... .seconds(60)
    static let hedge: ClosedRange<Int> = 0...20
    static let inFlight: ClosedRange<Int> = 1...65_536
    static let ticketLifetime: ClosedRange<Duration> = .zero ... .seconds(48 * 3600)
    static let connect: ClosedRange<Duration> = .milliseconds(10) ... .seconds(300)
    static let response: ClosedRange<Duration> = .milliseconds(100) ... .seconds(24 * 3600)
    static let sharePerClient: ClosedRange<Int> = 1...100
    static let relayIdle: ClosedRange<Duration> = .seconds(1) ... .seconds(24 * 3600)
    static let originIdle: ClosedRange<Duration> = .seconds(1) ... .seconds(24 * 3600)
    static let lifetime: ClosedRange<Duration> = .seconds(1) ... .seconds(30 * 24 * 3600)
    static let edgeConnections: ClosedRange<Int> = 1...10_000_000
    static let handshakesPerClient: ClosedRange<Int> = 1...1_000_000
    static let ipv6Prefix: ClosedRange<Int> = 32...128
    static let helloBytes: ClosedRange<Int> = 1024...262_144
    static let helloTimeout: ClosedRange<Duration> = .milliseconds(100) ... .seconds(300)
    static let handshakeTimeout: ClosedRange<Duration> = .milliseconds(100) ... .seconds(300)
    static let keepAliveIdle: ClosedRange<Duration> = .milliseconds(100) ... .seconds(24 * 3600)
    static let requestHeadBytes: ClosedRange<Int> = 1024...1_048_576
    static let minimumRate: ClosedRange<Int> = 0...1_048_576
    static let minimumRateWindow: ClosedRange<Duration> = .seconds(1) ... .seconds(600)
    static let drain: ClosedRange<Duration> = .zero ... .seconds(24 * 3600)
    static let handOverTimeout: ClosedRange<Duration> = .seconds(1) ... .seconds(600)
    static let cacheMemory: ClosedRange<Int> = 1_048_576...1_099_511_627_776
    static let cacheDisk: ClosedRange<Int> = 16_777_216...1_125_899_906_842_624
    static let cacheObject: ClosedRange<Int> = 1024...1_099_511_627_776
    static let cacheLifetime: ClosedRange<Duration> = .seconds(0) ... .seconds(8784 * 3600)
    static let cacheShare: ClosedRange<Int> = 1...100
    static let cacheRules = 256
    static let fleetStream: ClosedRange<Int> = 1000...10_000_000
    static let fleetCatchUp: ClosedRange<Duration> = .milliseconds(100) ... .seconds(300)
    static let rate: ClosedRange<Int> = 1...10_000_000
    static let defaultRate = 1000
    static let lease: ClosedRange<Duration> = .seconds(2) ... .seconds(7 * 24 * 3600)
    static let defaultLease: Duration = .seconds(600)
    /// Between checkpoints of the audit.
    static let checkpoint: ClosedRange<Duration> = .seconds(1) ... .seconds(3600)
    static let defaultCheckpoint: Duration = .seconds(60)
    static let grace: ClosedRange<Duration> = .zero ... .seconds(24 * 3600)
    static let defaultGrace: Duration = .seconds(600)
    static let certificates: ClosedRange<Int> = 1...8
    static let keyHolderConnections: ClosedRange<Int> = 1...1_000_000
    static let clientHandshakes: ClosedRange<Int> = 1...16_384
    static let packets: ClosedRange<Int> = 1000...10_000_000
    /// Of a hook program for dns-01.
    static let hookTimeout: ClosedRange<Duration> = .seconds(1) ... .seconds(600)
    static let defaultHookTimeout: Duration = .seconds(120)
    /// Percent of a certificate's life.
    static let renewAfter: ClosedRange<Int> = 10...95
    static let defaultRenewAfter: Int = 66
}
