"""The embedded servers: real PostgreSQL, Redis and Neo4j from packages, one class each."""

from local.servers.base import Server
from local.servers.neo4j import Neo4jServer
from local.servers.postgres import PostgresServer
from local.servers.redis import RedisServer

__all__ = ["Neo4jServer", "PostgresServer", "RedisServer", "Server"]
