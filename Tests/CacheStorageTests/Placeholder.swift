import CacheStorage
import Testing
