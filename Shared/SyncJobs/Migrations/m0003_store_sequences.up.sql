-- How far the store's collection had been written when it was last applied to: one that is behind is an older copy.
ALTER TABLE store_incarnations ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
