/// Which latchstring this is: what `latchstring --version`, an edge's heartbeat and requests of its own say.
public enum LatchstringVersion {
    /// Semantic versioning (semver.org); `-dev` until it is released.
    public static let text = "0.1.0-dev"
}
