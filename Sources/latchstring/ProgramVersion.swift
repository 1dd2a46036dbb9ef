import CBuildFacts
import Telemetry

/// What `latchstring --version` says: the version, and the commit that the program was built from.
enum ProgramVersion {
    static let text = Self.text(version: LatchstringVersion.text, commit: String(cString: latchstring_build_commit()))

    static func text(version: String, commit: String) -> String {
        guard !commit.isEmpty else { return "latchstring \(version)" }
        let digits = commit.prefix { $0 != "+" }
        return "latchstring \(version) (commit \(digits)\(commit.contains("+") ? ", with changes" : ""))"
    }
}
