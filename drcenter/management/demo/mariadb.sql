-- The sample web shop: everything here is the same each time. A line of "-- --" ends a statement.
CREATE TABLE customers (
  id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(120) NOT NULL,
  email VARCHAR(190) NOT NULL UNIQUE,
  -- Counted in the database: a dump must not insert into it.
  initial CHAR(1) AS (LEFT(name, 1)) STORED,
  weight FLOAT NOT NULL COMMENT 'in grams; 16777216 is the FLOAT that a plain dump rounds',
  preferences JSON,
  photo BLOB
) COMMENT 'people 🧑'
-- --
CREATE TABLE orders (
  id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  placed_at DATETIME(6) NOT NULL,
  state ENUM('open', 'paid', 'sent', 'returned') NOT NULL DEFAULT 'open',
  net DECIMAL(12, 2) NOT NULL,
  gross DECIMAL(12, 2) AS (net * 1.19) VIRTUAL,
  KEY (placed_at),
  CONSTRAINT order_customer FOREIGN KEY (customer_id) REFERENCES customers (id)
)
-- --
CREATE TABLE `order lines` (
  order_id INT UNSIGNED NOT NULL, position SMALLINT NOT NULL, article VARCHAR(60) NOT NULL, quantity INT NOT NULL,
  PRIMARY KEY (order_id, position), CONSTRAINT line_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  CONSTRAINT some CHECK (quantity > 0)
)
-- --
CREATE TABLE changes (at DATETIME NOT NULL, what VARCHAR(200) NOT NULL) COMMENT 'has no primary key'
-- --
CREATE TABLE stock (article VARCHAR(60) PRIMARY KEY, pieces INT NOT NULL)
-- --
INSERT INTO customers (name, email, weight, preferences, photo)
  SELECT CONCAT(ELT(1 + seq % 5, 'Ana Öztürk', 'Jürgen Weiß', '田中 さくら', 'Zoë 🦷', 'O''Neill'), ' ', seq),
    CONCAT('customer', seq, '@example.org'), IF(seq % 7, seq * 1.1, 16777216),
    JSON_OBJECT('newsletter', seq % 3 = 0, 'language', ELT(1 + seq % 2, 'de', 'tr')), UNHEX(SHA2(seq, 256))
  FROM seq_1_to_1500
-- --
INSERT INTO orders (customer_id, placed_at, state, net)
  SELECT 1 + seq * 31 % 1500, '2025-01-01' + INTERVAL seq * 97 SECOND, 1 + seq % 4, seq % 977 + seq % 100 / 100
  FROM seq_1_to_6000
-- --
INSERT INTO `order lines`
  SELECT orders.seq, position.seq, CONCAT('article ', 1 + (orders.seq * 7 + position.seq) % 200), 1 + orders.seq % 5
  FROM seq_1_to_6000 AS orders JOIN seq_1_to_3 AS position
-- --
INSERT INTO stock SELECT CONCAT('article ', seq), 1000 + seq FROM seq_1_to_200
-- --
CREATE VIEW open_orders AS
  SELECT orders.id, customers.name, orders.gross FROM orders JOIN customers ON customers.id = orders.customer_id
  WHERE orders.state = 'open'
-- --
CREATE TRIGGER order_changes AFTER UPDATE ON orders FOR EACH ROW
  INSERT INTO changes VALUES (NOW(), CONCAT('order ', NEW.id, ': ', OLD.state, ' → ', NEW.state))
-- --
CREATE FUNCTION turnover(day DATE) RETURNS DECIMAL(12, 2) READS SQL DATA
  RETURN (SELECT COALESCE(SUM(net), 0) FROM orders WHERE DATE(placed_at) = day)
-- --
CREATE PROCEDURE pay(IN number INT UNSIGNED) UPDATE orders SET state = 'paid' WHERE id = number
-- --
CREATE EVENT forget_changes ON SCHEDULE EVERY 1 DAY STARTS '2025-01-01 03:00:00'
  DO DELETE FROM changes WHERE at < NOW() - INTERVAL 1 YEAR
-- --
UPDATE orders SET state = 'sent' WHERE id <= 20
