public import HTTPCaching
public import NIOCore

/// The leader's end of a fill: what comes from the origin goes in here. May be used on any one thread at a time.
///
/// One head, then bytes, then the end; or `fail` at any time. If it is let go before the end, the fill fails.
public final class FillWriter: Sendable {
    public let fill: Fill

    init(_ fill: Fill) {
        self.fill = fill
    }

    deinit {
        if !self.fill.isEnded { self.fill.fail(.abandoned) }
    }

    /// The origin's final response is here, and may be stored and shared. The body's length must be in it, if it is
    /// known. The tags in it count for purges from now on.
    ///
    /// - Parameter maximumBytes: a body that turns out to be longer is passed on, and stored nowhere.
    @discardableResult
    public func begin(_ response: StoredResponse, maximumBytes: Int = .max) -> FillPlan {
        self.fill.begin(response, maximumBytes: maximumBytes)
    }

    /// The origin's final response is here, and is for the leader's request alone. Those that joined are told.
    public func beginUnshared() {
        self.fill.beginUnshared()
    }

    /// The next bytes of the body.
    public func append(_ bytes: ByteBuffer) -> FillFlow {
        self.fill.append(bytes)
    }

    /// Whether to go on, for a writer that was told to pause.
    public func flow() -> FillFlow { self.fill.flow() }

    /// What to run when a writer that was told to pause may go on, or need not any more: ask `flow()` then.
    public func onResume(on eventLoop: any EventLoop, _ callback: @escaping @Sendable () -> Void) {
        self.fill.onResume(FillWaker(eventLoop: eventLoop, callback: callback))
    }

    /// For a writer that has been paused for as long as it has patience: readers that are a whole window behind are cut
    /// off, if another reader has read everything and waits. A sole reader is never cut off.
    public func cutOffSlowest() { self.fill.cutOffSlowest() }

    /// The body is complete. Its length is compared with the announced one; what does not match is never stored.
    @discardableResult
    public func finish() -> FillResult {
        self.fill.finish()
    }

    /// The origin confirmed `old` (304): `response` is its metadata brought up to date. Replaces it in the store, unless
    /// a purge came in between, and hands the result to those who joined. Ends the fill.
    ///
    /// - Parameter generation: the store's `generation` from before `old` was looked up. Purges count from there, or from
    ///   the fill's beginning if that was earlier.
    /// - Returns: what to serve the leader's own request from.
    @discardableResult
    public func validated(
        _ old: CachedResponse, response: StoredResponse, since generation: UInt64 = .max
    ) -> CachedResponse {
        self.fill.validated(old, response: response, since: generation)
    }

    /// The rest will not come. Nothing is stored; followers are told that what they have is truncated.
    public func fail(_ failure: FillFailure) {
        self.fill.fail(failure)
    }
}
