internal import EdgeModel

/// Reads `cache` at the top of an edge's file.
struct CacheReader {
    static let keys = ["memory", "disk", "object"]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func cache(_ node: ConfigurationNode) -> EdgeCacheConfiguration? {
        let misplaced: [String: MappingReader.Misplaced] = [
            "rules": Self.sites("rules"), "default": Self.sites("default"), "query": Self.sites("query"),
            "token": .init(
                message: "unknown key \"token\" in cache",
                remedy: "The token belongs to the admin port: admin: {listen: …, token: FILE}."),
        ]
        guard
            let reader = MappingReader(
                node, noun: "cache", keys: Self.keys, misplaced: misplaced, report: self.report)
        else { return nil }
        var cache = EdgeCacheConfiguration()
        if let memory = reader.optional("memory", { self.values.size($0, in: SettingsRanges.cacheMemory) }) {
            cache.memoryBytes = memory
        }
        cache.disk = reader.optional("disk") { self.disk($0) }
        if let object = reader.optional("object", { self.values.size($0, in: SettingsRanges.cacheObject) }) {
            cache.maximumObjectBytes = object
        }
        let room = max(cache.memoryBytes, cache.disk?.size ?? 0)
        if reader.has("object"), cache.maximumObjectBytes > room {
            self.report.error(
                at: reader.valuePosition(of: "object"), "no store has room for an object of this size",
                remedy: "Make the store larger, or \"object\" smaller.")
        }
        return cache
    }

    private static func sites(_ key: String) -> MappingReader.Misplaced {
        .init(message: "\"\(key)\" is a site's own", remedy: "Write it in \"cache\" of the site.")
    }

    private func disk(_ node: ConfigurationNode) -> EdgeCacheConfiguration.Disk? {
        guard let reader = MappingReader(node, noun: "disk", keys: ["path", "size"], report: self.report) else {
            return nil
        }
        let path = reader.required("path", remedy: "Write path: FOLDER.") { self.files.folder($0, self.values) }
        let size = reader.required("size", remedy: "Write size: 10GiB, or what the disk can spare.") {
            self.values.size($0, in: SettingsRanges.cacheDisk)
        }
        guard let path, let size else { return nil }
        return EdgeCacheConfiguration.Disk(path: path, size: size)
    }
}
