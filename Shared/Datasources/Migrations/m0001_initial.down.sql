DROP TABLE vector_collection_versions;
DROP TABLE vector_collections;
DROP TABLE datasource_file_chunks;
DROP TABLE datasource_files;
DROP TABLE datasources;
