import Foundation
import Testing
import Yams

/// A recipe of `docs/configuration.md`: a paragraph that begins with its title in bold, up to the next such paragraph.
struct Recipe: Sendable, CustomTestStringConvertible {
    enum Unplaced: Error, CustomStringConvertible {
        case block(recipe: String, text: String)
        case value(recipe: String, String)

        var description: String {
            switch self {
            case .block(let recipe, let text):
                "\"\(recipe)\" has a block that belongs neither to an edge's file nor to a key holder's:\n\(text)"
            case .value(let recipe, let what): "\"\(recipe)\": the test cannot make real \(what)"
            }
        }
    }

    var title: String
    /// The YAML blocks, in their order.
    var blocks: [String]

    var testDescription: String { self.title }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// All recipes that have a block. Names under `example.com` become names under `example.test`, which no DNS is asked for.
    static func all() throws -> [Recipe] {
        let text = try String(contentsOf: Self.root.appending(path: "docs/configuration.md"), encoding: .utf8)
            .replacing("example.com", with: "example.test")
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: "## What do you want to do?") else { return [] }
        var recipes: [Recipe] = []
        var block: [Substring]?
        for line in lines[(start + 1)...] {
            if line.hasPrefix("```") {
                if let finished = block {
                    if recipes.isEmpty { recipes.append(Recipe(title: "", blocks: [])) }
                    recipes[recipes.count - 1].blocks.append(finished.joined(separator: "\n"))
                    block = nil
                } else {
                    block = []
                }
            } else if block != nil {
                block?.append(line)
            } else if line.hasPrefix("## ") {
                break
            } else if line.hasPrefix("**"), let end = line.dropFirst(2).range(of: "**") {
                recipes.append(Recipe(title: String(line.dropFirst(2)[..<end.lowerBound]), blocks: []))
            }
        }
        return recipes.filter { !$0.blocks.isEmpty }
    }

    /// The same with one mode in the place of another, in every block.
    func changing(_ mode: String, to other: String) -> Recipe {
        Recipe(title: "\(self.title) (\(other))", blocks: self.blocks.map { $0.replacing(mode, with: other) })
    }

    typealias Mapping = [String: Any]

    /// What the blocks say of an edge's file and of a key holder's, each of them put together.
    func files() throws -> (edge: Mapping, keyHolder: Mapping) {
        var edge: Mapping = [:]
        var keyHolder: Mapping = [:]
        for block in self.blocks {
            guard let mapping = try Yams.load(yaml: block) as? Mapping else {
                throw Unplaced.block(recipe: self.title, text: block)
            }
            switch Self.place(mapping) {
            case .edge: edge.merge(mapping) { $1 }
            case .keyHolder: keyHolder.merge(mapping) { $1 }
            case nil: throw Unplaced.block(recipe: self.title, text: block)
            }
        }
        return (edge, keyHolder)
    }

    private enum Place { case edge, keyHolder }

    private static func place(_ mapping: Mapping) -> Place? {
        let sites = mapping["sites"] as? [Mapping] ?? []
        let keys = Set(mapping.keys)
        let isEdges =
            !keys.isDisjoint(with: ["keyholders", "default-site", "cache"]) || sites.contains { $0["mode"] != nil }
        let isKeyHolders =
            !keys.isDisjoint(with: ["grants", "audit", "native"]) || sites.contains { $0["certificate"] != nil }
        switch (isEdges, isKeyHolders) {
        case (true, false): return .edge
        case (false, true): return .keyHolder
        // Both kinds of file have it; an edge's is the one that has more behind it.
        case (false, false): return keys == ["admin"] ? .edge : nil
        case (true, true): return nil
        }
    }
}
