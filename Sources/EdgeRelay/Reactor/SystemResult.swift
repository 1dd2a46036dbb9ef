#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What a system call about a relayed socket gave.
enum SystemResult {
    /// So many bytes; none: the end.
    case bytes(Int)
    /// Nothing now.
    case later
    /// The system does not do this at all.
    case unsupported
    case failed(Int32)

    /// - Parameter result: a count, or a negated error number.
    init(_ result: Int) {
        if result >= 0 {
            self = .bytes(result)
        } else {
            switch Int32(-result) {
            case EAGAIN: self = .later
            case EINVAL, ENOSYS: self = .unsupported
            case let code: self = .failed(code)
            }
        }
    }
}
