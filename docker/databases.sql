-- Run once by the PostgreSQL image, when its data folder is new: one database for each project.
CREATE DATABASE portal;
CREATE DATABASE site_a;
CREATE DATABASE site_b;
