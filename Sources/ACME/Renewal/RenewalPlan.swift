/// When a site's certificate is ordered next. Pure; times are milliseconds since 1970.
///
/// By the directory's suggestion where there is one: at a moment of the window that is drawn once (RFC 9773 section 4.2), at
/// once if that has passed. Otherwise by a share of the certificate's life. After failures with a back-off that grows, and never
/// before the directory wants to hear of it again.
public struct RenewalPlan: Codable, Equatable, Sendable {
    /// Attempts in a row that failed.
    public private(set) var failures = 0
    /// No attempt before it.
    private var notBefore: Int64 = 0
    /// The certificate that the window is about.
    private var windowOf: String?
    private var windowStart: Int64 = 0
    private var windowEnd: Int64 = 0
    /// The moment that was drawn.
    private var chosen: Int64?
    /// When to ask for the window again.
    private var nextLook: Int64 = 0

    /// Of the pauses after failures.
    static let firstPause: Int64 = 60_000
    static let longestPause: Int64 = 6 * 3_600_000

    public init() {}

    /// Whether to ask for renewal information now.
    public func wantsInformation(of chain: IssuedChain, now: Int64) -> Bool {
        guard chain.ariID != nil, !chain.isPlaceholder else { return false }
        return self.windowOf != chain.ariID || now >= self.nextLook
    }

    /// - Parameter share: 0 to 1, drawn evenly: where in the window.
    public mutating func suggested(_ information: RenewalInformation, for chain: IssuedChain, share: Double) {
        let isSame =
            self.windowOf == chain.ariID && self.windowStart == information.start && self.windowEnd == information.end
        self.nextLook = information.nextLook
        // A moment that was drawn for this window holds: else each look would draw again, and the early ones would win.
        guard !isSame || self.chosen == nil else { return }
        self.windowOf = chain.ariID
        self.windowStart = information.start
        self.windowEnd = information.end
        let length = Double(information.end - information.start)
        self.chosen = information.start + Int64(length * min(max(share, 0), 1))
    }

    /// The directory has no information, or gave none: another look later, and what was drawn stays.
    public mutating func gotNoInformation(for chain: IssuedChain, now: Int64) {
        if self.windowOf != chain.ariID {
            self.windowOf = chain.ariID
            self.chosen = nil
        }
        self.nextLook = now + RenewalInformation.defaultLook
    }

    /// When to order: a moment that may have passed.
    ///
    /// - Parameters:
    ///   - chain: What the site has now; nil: nothing.
    ///   - names: What it is to have.
    ///   - percent: Of a certificate's life, where the directory suggests nothing.
    public func due(_ chain: IssuedChain?, names: [String], percent: Int) -> Int64 {
        max(self.notBefore, self.wanted(chain, names, percent))
    }

    private func wanted(_ chain: IssuedChain?, _ names: [String], _ percent: Int) -> Int64 {
        guard let chain, !chain.isPlaceholder, Set(chain.names) == Set(names) else { return 0 }
        let byShare = chain.notBefore + (chain.notAfter - chain.notBefore) / 100 * Int64(percent)
        guard let chosen = self.chosen, self.windowOf == chain.ariID else { return byShare }
        // A window that lies behind the certificate's end would leave the site without one.
        return min(chosen, chain.notBefore + (chain.notAfter - chain.notBefore) / 100 * 95)
    }

    /// When to look again, for this or that.
    public func next(_ chain: IssuedChain?, names: [String], percent: Int) -> Int64 {
        let due = self.due(chain, names: names, percent: percent)
        guard let chain, chain.ariID != nil, !chain.isPlaceholder else { return due }
        return self.windowOf == chain.ariID ? min(due, self.nextLook) : 0
    }

    public mutating func succeeded() { self = RenewalPlan() }

    /// - Parameter share: 0 to 1, drawn evenly, so that sites that failed together do not come back together.
    public mutating func failed(_ failure: ACMEFailure, now: Int64, share: Double) {
        self.failures += 1
        let doublings = Int64(min(2 * (self.failures - 1), 20))
        let pause = Double(min(Self.longestPause, Self.firstPause << doublings))
        let jittered = Int64(pause * (0.75 + 0.5 * min(max(share, 0), 1)))
        self.notBefore = max(now + jittered, failure.notBefore ?? 0)
    }
}
