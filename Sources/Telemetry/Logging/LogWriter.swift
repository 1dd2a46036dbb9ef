import CoreMetrics

/// Writes log lines on a thread of its own, so that no event loop waits for the log's reader.
///
/// What the reader does not take in time is left out, and counted: in `latchstring_log_lines_dropped_total`, and in a line of
/// its own as soon as there is room again.
final class LogWriter: Sendable {
    /// Bytes of lines that wait, at most.
    static let capacity = 1 << 20

    let output: LogOutput
    private let thread: WriterThread<String>

    /// - Parameter notice: The line that says how many were left out.
    init(_ output: LogOutput, notice: @escaping @Sendable (_ leftOut: Int) -> String) {
        self.output = output
        self.thread = WriterThread(capacity: Self.capacity) { lines, leftOut, done in
            for line in lines {
                output.write(line: line)
                done(line.utf8.count + 1)
            }
            guard leftOut > 0 else { return }
            Counter(label: "latchstring_log_lines_dropped_total").increment(by: leftOut)
            output.write(line: notice(leftOut))
        }
    }

    /// Takes a line, and returns at once.
    func write(line: String) { self.thread.add(line, size: line.utf8.count + 1) }

    /// Waits until everything is written, for so many milliseconds at most. Blocks: for the end of the process, and tests.
    func flush(milliseconds: Int) { self.thread.flush(milliseconds: milliseconds) }

    /// Ends the thread when everything is written. What is written later is lost.
    func shutdown() { self.thread.shutdown() }
}
