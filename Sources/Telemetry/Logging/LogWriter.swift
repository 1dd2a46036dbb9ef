import CoreMetrics
import NIOConcurrencyHelpers
import NIOPosix

/// Writes log lines on a thread of its own, so that no event loop waits for the log's reader.
///
/// What the reader does not take in time is left out, and counted: in `latchstring_log_lines_dropped_total`, and in a line of
/// its own as soon as there is room again.
final class LogWriter: Sendable {
    private struct State {
        var lines: [String] = []
        var bytes = 0
        var leftOut = 0
        var isWriting = false
    }

    /// Bytes of lines that wait, at most.
    static let capacity = 1 << 20

    let output: LogOutput
    private let notice: @Sendable (_ leftOut: Int) -> String
    private let state = NIOLockedValueBox(State())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    /// - Parameter notice: The line that says how many were left out.
    init(_ output: LogOutput, notice: @escaping @Sendable (_ leftOut: Int) -> String) {
        self.output = output
        self.notice = notice
        self.thread.start()
    }

    /// Takes a line, and returns at once.
    func write(line: String) {
        let size = line.utf8.count + 1
        let starts = self.state.withLockedValue { state in
            guard state.bytes + size <= Self.capacity else {
                state.leftOut += 1
                return false
            }
            state.bytes += size
            state.lines.append(line)
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if starts { self.thread.submit { _ in self.drain() } }
    }

    private func drain() {
        while true {
            let (lines, leftOut) = self.state.withLockedValue { state -> ([String], Int) in
                let lines = state.lines
                let leftOut = state.leftOut
                state.lines = []
                state.leftOut = 0
                if lines.isEmpty, leftOut == 0 { state.isWriting = false }
                return (lines, leftOut)
            }
            guard !lines.isEmpty || leftOut > 0 else { return }
            for line in lines {
                self.output.write(line: line)
                // Only what is written makes room: a reader that takes one line gets the next ones, not all at once.
                self.state.withLockedValue { $0.bytes -= line.utf8.count + 1 }
            }
            if leftOut > 0 {
                Counter(label: "latchstring_log_lines_dropped_total").increment(by: leftOut)
                self.output.write(line: self.notice(leftOut))
            }
        }
    }

    /// Waits until everything is written, for so many milliseconds at most. Blocks: for the end of the process, and tests.
    func flush(milliseconds: Int) {
        for _ in 0..<max(1, milliseconds) {
            if !self.state.withLockedValue({ $0.isWriting }) { return }
            LogOutput.sleepMillisecond()
        }
    }

    /// Ends the thread when everything is written. What is written later is lost.
    func shutdown() {
        self.flush(milliseconds: 10_000)
        self.thread.shutdownGracefully { _ in }
    }
}
