ALTER TABLE store_incarnations DROP COLUMN sequence;
