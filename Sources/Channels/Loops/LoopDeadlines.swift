import DequeModule
public import NIOCore

/// Deadlines of one event loop that are set often and seldom come: for a client's hello, its handshake, its close. Lives on that loop.
///
/// NIO keeps a task for each timer, and looks through all of them to cancel one. Here those that were set for the same time stand in a
/// line, in the order in which they come, with one task for the whole line: to set one and to cancel it costs the same whatever the
/// number of connections.
///
/// A line is as long as what was set in its time, or less: what is cancelled at its front leaves it, and what is cancelled behind that
/// holds nothing any more.
public final class LoopDeadlines {
    /// One that was set.
    public struct Deadline {
        fileprivate let line: Line
        fileprivate let number: UInt64

        /// It does not come any more. To be called on the loop; nothing happens if it has come, or was cancelled.
        public func cancel() { self.line.cancel(self.number) }
    }

    private let eventLoop: any EventLoop
    /// By their time in nanoseconds. There are as many as different times are configured.
    private var lines: [Int64: Line] = [:]

    public init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Calls back once when the time is over.
    public func set(in time: TimeAmount, _ action: @escaping () -> Void) -> Deadline {
        let line: Line
        if let known = self.lines[time.nanoseconds] {
            line = known
        } else {
            line = Line(time, on: self.eventLoop)
            self.lines[time.nanoseconds] = line
        }
        return Deadline(line: line, number: line.add(action))
    }

    private struct Entry {
        var deadline: NIODeadline
        /// Nil: cancelled.
        var action: (() -> Void)?
    }

    fileprivate final class Line {
        private let time: TimeAmount
        private let eventLoop: any EventLoop
        private var entries = Deque<Entry>()
        /// The number of the first entry.
        private var first: UInt64 = 0
        private var isScheduled = false

        init(_ time: TimeAmount, on eventLoop: any EventLoop) {
            self.time = time
            self.eventLoop = eventLoop
        }

        func add(_ action: @escaping () -> Void) -> UInt64 {
            let deadline: NIODeadline = self.eventLoop.now + self.time
            self.entries.append(Entry(deadline: deadline, action: action))
            if !self.isScheduled { self.schedule(deadline) }
            return self.first + UInt64(self.entries.count - 1)
        }

        func cancel(_ number: UInt64) {
            guard number >= self.first, number - self.first < UInt64(self.entries.count) else { return }
            self.entries[Int(number - self.first)].action = nil
            while let entry = self.entries.first, entry.action == nil { self.dropFirst() }
        }

        private func dropFirst() {
            self.entries.removeFirst()
            self.first += 1
        }

        /// The task stays when the entry that it was for is cancelled: it looks for the next one when it comes.
        private func schedule(_ deadline: NIODeadline) {
            self.isScheduled = true
            self.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.come() }
        }

        private func come() {
            let now: NIODeadline = self.eventLoop.now
            // What is called may set and cancel others. It schedules nothing: there may be earlier ones before it in the line.
            while let entry = self.entries.first, entry.deadline <= now {
                self.dropFirst()
                entry.action?()
            }
            self.isScheduled = false
            if let next = self.entries.first { self.schedule(next.deadline) }
        }
    }
}
