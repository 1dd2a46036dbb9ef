internal import Foundation
internal import GRDB
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOPosix

extension DiskStore {
    /// Makes the index anew, empty. Its bodies are swept away in the background; those being read stay readable.
    func rebuild(_ what: String, _ error: any Error) {
        self.logger.warning(
            "the cache's index on disk is made anew: what was on disk is fetched again",
            metadata: ["path": "\(self.limits.path)", "what": "\(what)", "reason": "\(error)"])
        let old: DatabasePool? = self.state.withLockedValue { state in
            state.figures.rebuilds += 1
            state.figures.bytes = 0
            state.figures.entries = 0
            defer { state.index = nil }
            return state.index
        }
        self.filter.replace(with: [])
        self.usage.withLockedValue { $0 = DiskUsage() }
        try? old?.close()
        self.folder.removeIndex()
        self.reopen()
    }

    /// Opens a new index where there is none.
    func reopen() {
        do {
            try self.openIndex()
            self.sweep()
        } catch {
            self.folder.removeIndex()
            self.pause("the index can't be made", error)
        }
    }

    /// Called by readers: the index seems to be damaged. The writing job looks into it.
    func reportCorruption(_ error: any Error) {
        let isFirst: Bool = self.state.withLockedValue { state in
            defer { state.isCheckPending = true }
            return !state.isCheckPending
        }
        if isFirst { self.enqueue(.check(reason: "\(error)")) }
    }

    func check(_ reason: String) {
        self.state.withLockedValue { $0.isCheckPending = false }
        guard let index = self.index else { return }
        let verdict: String? = try? index.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
        if verdict != "ok" {
            self.rebuild("the index is damaged", DiskStoreError(path: self.folder.index, reason: reason))
        }
    }

    /// Removes body files that no row names: what a crash left between a body and its row, or between a deleted row and
    /// its body. One folder after another, in the background.
    ///
    /// - Parameter partials: whether files that were being written are removed too: only before this run writes any.
    func sweep(partials: Bool = false) {
        let limit: Int64 = self.state.withLockedValue { $0.nextID }
        self.sweep(folder: 0, below: limit, partials: partials, removed: 0)
    }

    private func sweep(folder number: Int, below limit: Int64, partials: Bool, removed: Int) {
        self.readers.submit { state in
            guard state == .active, let index = self.index else { return }
            guard number < DiskFolder.bodyFolders else {
                if removed > 0 {
                    self.logger.info(
                        "removed body files that no row of the index names", metadata: ["count": "\(removed)"])
                }
                return
            }
            let path: String = self.folder.bodyFolder(number)
            var count = 0
            for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
                guard let (id, isPartial) = DiskFolder.bodyID(name), id < limit, partials || !isPartial else {
                    continue
                }
                // In doubt it stays.
                let isNamed: Bool = !isPartial && ((try? index.read { try DiskIndex.holds(id, $0) }) ?? true)
                if !isNamed {
                    self.files.remove("\(path)/\(name)")
                    count += 1
                }
            }
            self.sweep(folder: number + 1, below: limit, partials: partials, removed: removed + count)
        }
    }
}
