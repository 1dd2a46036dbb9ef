import Stapling
import Synchronization

/// The OCSP responses that a site's handshakes show, by the certificate that each is about.
final class SiteStaples: Sendable {
    /// What has become of them.
    enum News: Equatable {
        case none
        /// There are others now, or none any more because their time is over; with the reasons why one is not shown.
        case changed(problems: [String])
    }

    private struct State {
        /// By leaf; of every certificate of the site.
        var findings: [[UInt8]: StapleFinding] = [:]
        /// How often they have changed.
        var version = 0
        /// What ``news(_:)`` has told of.
        var told: [[UInt8]: StapleFinding] = [:]
    }

    private let files: StapleFiles
    private let state = Mutex(State())

    init(_ paths: [String]) { self.files = StapleFiles(paths) }

    /// Another one after each change: of what is made with responses.
    var version: Int { self.state.withLock { $0.version } }

    func response(for chain: [[UInt8]]) -> [UInt8]? {
        guard let leaf = chain.first else { return nil }
        return self.state.withLock { $0.findings[leaf]?.response }
    }

    /// Reads the files that have changed. Blocks, as files do.
    ///
    /// - Parameters:
    ///   - leaves: of all certificates, in DER.
    ///   - now: seconds since 1970 UTC.
    /// - Returns: whether something else is to be shown from now on.
    func read(_ leaves: [[UInt8]], now: Int64) -> Bool {
        guard !self.files.paths.isEmpty else { return false }
        self.files.read()
        var fresh: [[UInt8]: StapleFinding] = [:]
        for leaf in leaves { fresh[leaf] = self.files.find(for: leaf, now: now) }
        return self.state.withLock { state in
            guard state.findings != fresh else { return false }
            state.findings = fresh
            state.version += 1
            return true
        }
    }

    /// What has changed since it was asked for last.
    func news() -> News {
        self.state.withLock { state in
            guard state.told != state.findings else { return .none }
            state.told = state.findings
            return .changed(problems: state.findings.values.compactMap(\.reason).sorted())
        }
    }
}
