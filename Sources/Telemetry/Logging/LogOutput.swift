#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Writes whole lines to a file descriptor, each with one write(2), so that lines of several threads do not mix.
///
/// A reader that does not read stops the thread that writes, so ``LogWriter`` has one for it. A line that the system takes in
/// parts (only pipes beyond PIPE_BUF do that) goes on with the rest.
struct LogOutput: Sendable {
    /// Longer lines are cut, in bytes.
    static let maximumLineBytes = 65_536

    static let standardError = LogOutput(descriptor: STDERR_FILENO)

    let descriptor: Int32

    func write(line: String) {
        var bytes = Array(line.utf8.prefix(Self.maximumLineBytes))
        bytes.append(0x0A)
        var start = 0
        while start < bytes.count {
            let written = bytes[start...].withUnsafeBytes { part in
                #if canImport(Glibc)
                    Glibc.write(self.descriptor, part.baseAddress, part.count)
                #elseif canImport(Musl)
                    Musl.write(self.descriptor, part.baseAddress, part.count)
                #else
                    Darwin.write(self.descriptor, part.baseAddress, part.count)
                #endif
            }
            if written > 0 {
                start += written
            } else if written < 0, errno == EINTR {
                continue
            } else {
                // Closed, full or non-blocking and busy: a log line is not worth more than that.
                return
            }
        }
    }

    static func sleepMillisecond() { usleep(1000) }

    /// Whether the descriptor is a terminal.
    var isTerminal: Bool { isatty(self.descriptor) == 1 }

    /// Whether colours are welcome: a terminal that knows them, and no NO_COLOR (https://no-color.org).
    var wantsColours: Bool {
        guard self.isTerminal else { return false }
        if let forbidden = getenv("NO_COLOR"), forbidden.pointee != 0 { return false }
        if let terminal = getenv("TERM"), String(cString: terminal) == "dumb" { return false }
        return true
    }
}

extension LogTimestamp {
    /// The system's clock.
    static func now() -> LogTimestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return LogTimestamp(seconds: Int64(time.tv_sec), milliseconds: Int(time.tv_nsec) / 1_000_000)
    }
}
