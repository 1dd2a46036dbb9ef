#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What is for people's eyes while it happens, beside the report on standard output.
enum StandardError {
    static func write(_ text: String) { writeAll(2, text) }
}

/// Unbuffered, so that progress can be seen while it is made.
enum StandardOutput {
    static func write(_ text: String) { writeAll(1, text) }
}

private func writeAll(_ descriptor: Int32, _ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        // Nobody reads it any more, or it is closed: nothing sensible is left to do.
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
    }
}
