#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The process that this one takes over from, as this one sees it. Asked one thing after the other.
actor Predecessor {
    private let link: SuccessionLink
    /// By the first word of the answer: two questions may be under way.
    private var waiting: [(answer: String, continuation: CheckedContinuation<String?, Never>)] = []
    /// What came without being asked for.
    private var isTold = false
    private var telling: [CheckedContinuation<Void, Never>] = []
    private var isGone = false
    /// It accepts no more, and ends: it will not stop this process.
    private var isRelieved = false
    private let parent: @Sendable () -> pid_t
    /// Of the process.
    private let number: pid_t

    struct Gone: Error, CustomStringConvertible {
        var description: String { "the process that was to be succeeded is gone, or answered something else" }
    }

    /// - Parameter parent: the number of this process's parent now, which is another one once the predecessor has died.
    init(_ descriptor: CInt, parent: @escaping @Sendable () -> pid_t = { getppid() }) async throws {
        self.parent = parent
        self.number = parent()
        self.link = try await SuccessionLink(descriptor)
        Task { await self.read() }
    }

    private func read() async {
        for await line in self.link.lines {
            if line == "told" {
                self.told()
            } else if let index = self.waiting.firstIndex(where: { line.split(separator: " ").first == $0.answer[...] })
            {
                // An answer that was not asked for means nothing.
                if line == "yours" { self.isRelieved = true }
                self.waiting.remove(at: index).continuation.resume(returning: line)
            }
        }
        self.isGone = true
        self.told()
        for one in self.waiting { one.continuation.resume(returning: nil) }
        self.waiting = []
        self.link.close()
    }

    /// - Returns: the words of the answer behind the first, which must be this one.
    private func ask(_ question: String, expecting answer: String) async throws -> [String] {
        guard !self.isGone else { throw Gone() }
        let line = await withCheckedContinuation { continuation in
            self.waiting.append((answer, continuation))
            let link = self.link
            // If it cannot be sent, the link ends, and with it the wait.
            Task { try? await link.send(question) }
        }
        let words = line?.split(separator: " ").map(String.init) ?? []
        guard !words.isEmpty else { throw Gone() }
        return Array(words.dropFirst())
    }

    /// Has it let go of what this process needs.
    ///
    /// - Returns: the domains that it serves.
    func claim() async throws -> Set<String> { Set(try await self.ask("let-go", expecting: "let-go")) }

    private func told() {
        self.isTold = true
        for one in self.telling { one.resume() }
        self.telling = []
    }

    /// Waits until the service manager has been told that this process is the service, or the other one is gone.
    func awaitTold() async {
        guard !self.isTold else { return }
        await withCheckedContinuation { self.telling.append($0) }
    }

    /// Has it accept no more at these listeners.
    func relieve(_ listeners: Set<Int>) async throws {
        let numbers = listeners.sorted().map { " \($0)" }.joined()
        do {
            _ = try await self.ask("ready" + numbers, expecting: "yours")
        } catch {
            // One that has died serves no more, and this process can. One that lives goes on. The link of one that dies ends before
            // it has another parent.
            for _ in 0..<10 where self.parent() == self.number { try? await Task.sleep(for: .milliseconds(20)) }
            if self.parent() == self.number { throw error }
        }
    }

    /// Has it forget what it stores. If it is gone, it does not serve that either; if it does not answer, it is told by the link's end.
    ///
    /// Does not return where the predecessor has given this process up, and goes on without it: it is about to stop this one. A purge that
    /// is not done by then is not recorded, and the predecessor does it when it follows the fleet again.
    func purge() async {
        if !self.isGone { await self.askToPurge() }
        // Cancellation must not let the purge pass for done.
        while self.isGone, !self.isRelieved, self.parent() == self.number {
            await Task.detached { try? await Task.sleep(for: .milliseconds(20)) }.value
        }
    }

    private func askToPurge() async {
        let link = self.link
        let patience = Task {
            try await Task.sleep(for: .seconds(5))
            link.close()
        }
        _ = try? await self.ask("purge", expecting: "purged")
        patience.cancel()
    }
}
